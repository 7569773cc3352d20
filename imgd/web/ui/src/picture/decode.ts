// From the bytes of a tile to its pixels, outside the page's own thread.
import type { Tile } from "../protocol/link";

/** Decode a tile. Raises if it is none.
 *
 * Where the page has ImageDecoder (not over plain HTTP from another machine) twenty tiles take a third of the time:
 * a Blob's bytes would go to another process and back.
 */
export async function decode({ body, type }: Pick<Tile, "body" | "type">): Promise<ImageBitmap> {
  if (!("ImageDecoder" in globalThis)) return await createImageBitmap(new Blob([body], { type }));
  const decoder = new ImageDecoder({ data: body, type });
  try {
    const { image } = await decoder.decode();
    try {
      return await createImageBitmap(image);
    } finally {
      image.close();
    }
  } finally {
    decoder.close();
  }
}

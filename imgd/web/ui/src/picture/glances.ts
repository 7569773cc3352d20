// Glances: coarse pictures of all of a plane, made of some of the rows, one for each picture that has no tiles yet. They
// are no tiles: nothing of them is kept, asked for again or measured.
import type { Glance } from "../protocol/link";
import type { Decoded } from "./tiles";

export class Glances<D extends Decoded> {
  readonly #held = new Map<string, { bitmap: D | null }>();

  constructor(
    private readonly decode: (glance: Glance) => Promise<D>,
    private readonly changed: () => void,
  ) {}

  /** Have it decoded; told of when it can be shown, unless it was forgotten by then. */
  async put(picture: string, glance: Glance): Promise<void> {
    this.forget(picture);
    const entry: { bitmap: D | null } = { bitmap: null };
    this.#held.set(picture, entry);
    const bitmap = await this.decode(glance).catch(() => null);
    if (this.#held.get(picture) !== entry) return bitmap?.close();
    if (!bitmap) return this.forget(picture);
    entry.bitmap = bitmap;
    this.changed();
  }

  /** What can be shown of a picture. */
  of(picture: string): D | null {
    return this.#held.get(picture)?.bitmap ?? null;
  }

  get any(): boolean {
    return this.#held.size > 0;
  }

  forget(picture: string): void {
    this.#held.get(picture)?.bitmap?.close();
    this.#held.delete(picture);
  }

  /** Forget all but those of these pictures. */
  keep(pictures: readonly (string | undefined)[]): void {
    for (const picture of [...this.#held.keys()]) if (!pictures.includes(picture)) this.forget(picture);
  }
}

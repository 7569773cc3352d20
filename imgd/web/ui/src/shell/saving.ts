// Saving files: fetched with its progress told and refusals in words, then handed to the browser as a download.
import { Refusal, refusalOf } from "../protocol/http";

export interface Progress {
  bytes: number;
  of: number | null; // null: not known before the end
}

/** Fetch all of an answer. Raises a Refusal, or an AbortError when `signal` says so. */
export async function fetched(url: string, signal: AbortSignal, progress: (now: Progress) => void): Promise<Blob> {
  try {
    const answer = await fetch(url, { signal });
    if (!answer.ok) throw await refusalOf(answer);
    const of = Number(answer.headers.get("content-length")) || null;
    const type = answer.headers.get("content-type") ?? "application/octet-stream";
    return new Blob(await partsOf(answer, (bytes) => progress({ bytes, of })), { type });
  } catch (error) {
    if (error instanceof Refusal || signal.aborted) throw error;
    throw new Refusal({ status: 0, title: "It did not arrive", text: "the connection to the daemon broke; try again" });
  }
}

async function partsOf(answer: Response, progress: (bytes: number) => void): Promise<Uint8Array<ArrayBuffer>[]> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = answer.body?.getReader();
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    parts.push(next.value);
    progress((bytes += next.value.byteLength));
  }
  return parts;
}

/** Have the browser save it. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // Some browsers begin to read it only after a while.
}

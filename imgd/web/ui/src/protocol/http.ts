// Questions that are asked by plain HTTP: measurements, listings, headers.
import type { Look, Trouble } from "../state/types";

/** The daemon's refusal, or that there was no answer, in words. */
export class Refusal extends Error {
  constructor(readonly trouble: Trouble, readonly retryAfterS = 0) {
    super(trouble.text ? `${trouble.title}: ${trouble.text}` : trouble.title);
  }
}

/** What comes as it is, percent-encoded by the daemon: names that are no text survive. */
const NAMES: ReadonlySet<string> = new Set(["frame", "dir", "at"]);

/** An address of the daemon's: `path` and a query. */
export function address(path: string, query: Readonly<Record<string, string | number | undefined>> = {}): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    parts.push(`${name}=${NAMES.has(name) ? value : encodeURIComponent(value)}`);
  }
  return new URL(parts.length ? `${path}?${parts.join("&")}` : path, document.baseURI).href;
}

/** What of a look the questions know: which plane. */
export function planeOf(look: Look): { hdu?: string; plane?: string } {
  return { ...(look.hdu !== undefined && { hdu: look.hdu }), ...(look.plane !== undefined && { plane: look.plane }) };
}

/** Ask for JSON. Raises a Refusal, or an AbortError when `signal` says so. */
export async function getJson<T>(url: string, signal?: AbortSignal): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(url, { signal: signal ?? null, headers: { accept: "application/json" } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refusal({ status: 0, title: "The daemon does not answer", text: "" });
  }
  if (!answer.ok) throw await refusalOf(answer);
  return (await answer.json()) as T;
}

export async function refusalOf(answer: Response): Promise<Refusal> {
  const problem = (await answer.json().catch(() => ({}))) as { title?: string; detail?: string };
  const trouble = { status: answer.status, title: problem.title ?? `Error ${answer.status}`, text: problem.detail ?? "" };
  return new Refusal(trouble, Number(answer.headers.get("retry-after")) || 0);
}

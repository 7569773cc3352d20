// Copying what is measured.
import { copyText } from "../shell/copy";
import { say } from "../state/store";
import { toldPlace } from "./place";
import { placeLine } from "./place_words";

/** Copy "x y value ra dec" of what is under the cursor. */
export async function copyPlace(): Promise<void> {
  const place = toldPlace();
  if (!place?.values) say("Nothing is under the cursor to copy");
  else await copied(placeLine(place));
}

/** Copy, and say what was copied. */
export async function copied(text: string): Promise<void> {
  if (!(await copyText(text))) return say("The browser does not allow copying here", "wrong");
  const line = text.replaceAll("\t", "  ").replaceAll("\n", ", ");
  say(`Copied: ${line.length > 80 ? `${line.slice(0, 80)}…` : line}`);
}

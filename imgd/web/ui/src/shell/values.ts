// What is known of a view, as text to be pasted.
import type { Camera, Shown } from "../state/types";
import { partsOf } from "./names";
import { sectionOf, type Region } from "./region";

/** Which frame and part, the levels used, how it is turned; columns between tabs, as a table takes them. */
export function viewText(shown: Shown, camera: Camera, region: Region, link: string): string {
  const { root, folders, file } = partsOf(shown.ref);
  const lines = [
    ["frame", [root, folders, file].filter(Boolean).join("/")],
    ["hdu", String(shown.hdu)],
    ["section", sectionOf(region)],
    ["stretch", shown.levels?.stretch ?? shown.look.stretch ?? ""],
    ...(shown.levels?.levels ?? []).map(({ black, mid, white }) => ["black, white, mid", `${black}, ${white}, ${mid}`]),
    ["turned", `${camera.turn}${camera.flip ? ", flipped" : ""}`],
    ["link", link],
  ];
  return lines.map(([name, value]) => `${name}\t${value}`).join("\n");
}

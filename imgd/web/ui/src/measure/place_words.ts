// How a place under the cursor is said: in the status line, and on the clipboard.
import type { SkyAnswer } from "./answers";
import type { Place, ValueThere } from "./place";
import { sexagesimal, valueText } from "./words";

export function valueWords({ value, why, letter, saturated }: ValueThere, unit: string): string {
  const text = value === null ? `bad${why ? ` (${why})` : ""}` : `${valueText(value)}${unit ? ` ${unit}` : ""}`;
  return `${letter ? `${letter} ` : ""}${text}${saturated ? " saturated" : ""}`;
}

export interface SkyWord {
  name: string;
  text: string;
}

/** Names and texts of the two world coordinates: RA and Dec only of an equatorial map. */
export function skyWords(sky: Pick<SkyAnswer, "kind" | "system" | "axes">, world: readonly [number, number], degrees: boolean): SkyWord[] {
  if (sky.kind === "celestial" && sky.system === "equatorial") {
    return degrees
      ? [{ name: "RA", text: `${world[0].toFixed(6)}°` }, { name: "Dec", text: `${world[1].toFixed(6)}°` }]
      : [{ name: "RA", text: sexagesimal(world[0], true, 2) }, { name: "Dec", text: sexagesimal(world[1], false, 1) }];
  }
  if (sky.kind === "celestial") return celestialNames(sky.system).map((name, at) => ({ name, text: `${(world[at] ?? 0).toFixed(6)}°` }));
  return world.map((value, at) => {
    const { name = "", unit = "" } = sky.axes[at] ?? {};
    return { name: name || `Axis ${at + 1}`, text: `${Number(value.toPrecision(8))}${unit ? ` ${unit}` : ""}` };
  });
}

export function celestialNames(system: string): [string, string] {
  if (system === "equatorial") return ["RA", "Dec"];
  if (system === "galactic") return ["l", "b"];
  return system === "ecliptic" ? ["λ", "β"] : ["Longitude", "Latitude"];
}

/** "x y value ra dec", separated by tabs: it can be pasted into a table. */
export function placeLine({ at, values, unit, sky, world }: Place): string {
  const told = (values ?? []).map((value) => valueWords(value, unit));
  const where = sky && world ? skyWords(sky, world, false).map(({ text }) => text) : [];
  return [at.x.toFixed(1), at.y.toFixed(1), ...told, ...where].join("\t");
}

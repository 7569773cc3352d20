// The stars of what is shown: asked once for the overlay and the panel together.
import { useStore } from "../state/store";
import type { Shown } from "../state/types";
import type { StarsAnswer } from "./answers";
import { useShared, useVersion, type Answered } from "./asking";
import { useSky } from "./place";
import { ask, mainPlane } from "./subject";

const LISTED = 2000;

/** Not asked where they are not wanted. */
export function useStars(shown: Shown | null, wanted: boolean): Answered<StarsAnswer> {
  const channel = useStore((state) => state.channel);
  const url = shown && wanted ? ask("stars", mainPlane(shown, channel), { count: LISTED }) : null;
  return useShared<StarsAnswer>(url, useVersion(shown));
}

/** Arc seconds of a pixel: the mean of both directions; null without a sky. */
export function useArcsec(shown: Shown | null): number | null {
  const sky = useSky(shown).answer;
  return sky?.kind === "celestial" && sky.scale ? Math.sqrt(sky.scale[0] * sky.scale[1]) : null;
}

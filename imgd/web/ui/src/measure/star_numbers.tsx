// The numbers of the star under the cursor.
import { useStore } from "../state/store";
import type { Shown } from "../state/types";
import type { Star } from "./answers";
import { fitsToStage, type Chart } from "./compass";
import { starRadius, starsInView } from "./paint";
import { useArcsec, useStars } from "./stars_asked";
import { figure } from "./words";

const REACH_PX = 10;

export function pxWords(px: number | null, arcsec: number | null): string {
  if (px === null) return "–";
  return `${px.toFixed(2)} px${arcsec === null ? "" : ` (${(px * arcsec).toFixed(2)}″)`}`;
}

export function StarNumbers({ shown, chart }: { shown: Shown; chart: Chart }) {
  const { stars: wanted, magnifier } = useStore((state) => state.overlays);
  const cursor = useStore((state) => state.cursor);
  const stars = useStars(shown, wanted).answer?.stars;
  const arcsec = useArcsec(wanted ? shown : null);
  if (!wanted || !stars || !cursor) return null;
  const star = nearest(chart, stars, fitsToStage(chart, cursor));
  if (!star) return null;
  const at = fitsToStage(chart, star);
  const radius = starRadius(star, chart.camera.scale);
  // The loupe is at the right of the pointer: the numbers are then at its left.
  const [right, low] = [at.x > chart.stage.width - 220 || (magnifier && at.x > 220), at.y > chart.stage.height - 130];
  const style = {
    ...(right ? { right: chart.stage.width - at.x + radius + 6 } : { left: at.x + radius + 6 }),
    ...(low ? { bottom: chart.stage.height - at.y + 6 } : { top: at.y + 6 }),
  };
  return (
    <div className="star-numbers numbers" style={style}>
      <span className="quiet">HFR</span> <span>{pxWords(star.hfr, arcsec)}</span>
      <span className="quiet">FWHM</span> <span>{pxWords(star.fwhm, arcsec)}</span>
      <span className="quiet">Peak</span> <span>{figure(star.peak)}</span>
      <span className="quiet">Flux</span> <span>{figure(star.flux)}</span>
      <span className="quiet">Ellipticity</span> <span>{star.ellipticity.toFixed(3)}</span>
      {star.flags.length > 0 && <span className="flags">{star.flags.join(", ")}</span>}
    </div>
  );
}

function nearest(chart: Chart, stars: readonly Star[], to: { x: number; y: number }): Star | null {
  let best: Star | null = null;
  let least = Infinity;
  for (const { star, at } of starsInView(chart, stars)) {
    const away = Math.hypot(at.x - to.x, at.y - to.y);
    if (away < least && away < Math.max(REACH_PX, starRadius(star, chart.camera.scale))) [best, least] = [star, away];
  }
  return best;
}

// The part of the panel about stars: how many, how sharp, and the list of the brightest.
import { useRef } from "react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useStore } from "../state/store";
import type { Shown } from "../state/types";
import type { Star, StarsAnswer } from "./answers";
import { AskedWords, Figures, figuresText } from "./asked_words";
import { OfPlane } from "./channel_part";
import { copied } from "./copy";
import { download, starsCsv } from "./csv";
import { centreOn, setMarks } from "./marks";
import { useSky } from "./place";
import { celestialNames } from "./place_words";
import { worldAt } from "./sky";
import { pxWords } from "./star_numbers";
import { useArcsec, useStars } from "./stars_asked";
import { figure } from "./words";

export function StarsPart({ shown }: { shown: Shown }) {
  const wanted = useStore((state) => state.overlays.stars);
  const asked = useStars(shown, wanted);
  const arcsec = useArcsec(wanted ? shown : null);
  const sky = useSky(wanted ? shown : null).answer;
  const { answer } = asked;
  const rows = answer ? starRows(answer, arcsec) : [];
  const save = () => {
    if (!answer) return;
    const names = sky?.kind === "celestial" ? celestialNames(sky.system).map((name) => `${name}_deg`) : (sky?.axes.map(({ name }) => name) ?? []);
    download("stars.csv", starsCsv(answer, names, sky ? (x, y) => worldAt(sky, { x, y }) : null));
  };
  return (
    <section aria-label="Stars">
      <div className="head">
        <h2>Stars <OfPlane shown={shown} /></h2>
        {answer && (
          <>
            <button type="button" className="plain" onClick={() => void copied(figuresText(rows))}>
              Copy
            </button>
            <button type="button" className="plain" onClick={save}>
              CSV
            </button>
          </>
        )}
        <button type="button" className="plain" aria-pressed={wanted} onClick={() => useStore.setState(({ overlays }) => ({ overlays: { ...overlays, stars: !wanted } }))}>
          {wanted ? "Shown" : "Find stars"}
        </button>
      </div>
      <AskedWords asked={asked} what="Finding stars" />
      {answer && <Figures rows={rows} />}
      {answer?.notes.map((note) => (
        <p key={note} className="quiet">
          {note}
        </p>
      ))}
      {answer && answer.stars.length > 0 && <StarList stars={answer.stars} shown={shown} />}
    </section>
  );
}

function starRows(answer: StarsAnswer, arcsec: number | null): [string, string][] {
  const listed = answer.listed < answer.found ? ` (${answer.listed} listed)` : "";
  return [
    ["Found", `${answer.found}${listed}`],
    ["Median HFR", pxWords(answer.hfr, arcsec)],
    ["Median FWHM", pxWords(answer.fwhm, arcsec)],
    ["Medians of", `${answer.median_of} stars`],
    ["Background", figure(answer.background)],
    ["Noise", figure(answer.noise)],
    ["Threshold", `${figure(answer.threshold)} sigma${answer.truncated ? `, as ${figure(answer.asked)} found too many` : ""}`],
  ];
}

function StarList({ stars, shown }: { stars: readonly Star[]; shown: Shown }) {
  const place = useRef<HTMLDivElement>(null);
  const high = window.matchMedia("(pointer: coarse)").matches ? 42 : 26;
  const rows = useVirtualizer({ count: stars.length, getScrollElement: () => place.current, estimateSize: () => high, overscan: 6 });
  return (
    <div ref={place} className="stars-list numbers" role="group" aria-label="The brightest stars" tabIndex={-1}>
      <div className="star-row named" aria-hidden="true">
        <span>x</span> <span>y</span> <span>HFR</span> <span>FWHM</span> <span>Peak</span>
      </div>
      <div style={{ height: rows.getTotalSize(), position: "relative" }}>
        {rows.getVirtualItems().map(({ index, start, size }) => {
          const star = stars[index];
          return star && <div key={index} className="line" style={{ top: start, height: size }}>{<StarRow star={star} shown={shown} number={index + 1} />}</div>;
        })}
      </div>
    </div>
  );
}

function StarRow({ star, shown, number }: { star: Star; shown: Shown; number: number }) {
  const go = () => {
    centreOn(shown, star, 1);
    setMarks({ found: { x: star.x, y: star.y, words: "" } });
  };
  return (
    <button type="button" className="star-row" title={["Go there", ...star.flags].join("; ")} onClick={go}>
      <span>
        <span className="unseen">Star {number} at</span> {star.x.toFixed(1)}
      </span>
      <span>{star.y.toFixed(1)}</span>
      <span>
        <span className="unseen">HFR</span> {star.hfr?.toFixed(2) ?? "–"}
      </span>
      <span>
        <span className="unseen">FWHM</span> {star.fwhm.toFixed(2)}
      </span>
      <span className={star.saturated ? "saturated" : ""}>
        <span className="unseen">{star.saturated ? "saturated, " : ""}peak</span> {figure(Math.round(star.peak))}
      </span>
    </button>
  );
}

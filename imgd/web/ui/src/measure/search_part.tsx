// The part of the panel that finds a sky position in the picture; only where the header has one.
import { useState } from "react";
import { getJson } from "../protocol/http";
import type { Shown } from "../state/types";
import type { SkyAnswer } from "./answers";
import { AskedWords } from "./asked_words";
import { useLatestBy } from "./asking";
import { centreOn, setMarks } from "./marks";
import { useSky } from "./place";
import { celestialNames } from "./place_words";
import { planesOf, skyAddress } from "./subject";
import { readPosition } from "./words";

export function SearchPart({ shown }: { shown: Shown }) {
  const asked = useSky(shown);
  const sky = asked.answer;
  return (
    <>
      {sky?.kind === "celestial" && <Search shown={shown} system={sky.system} />}
      {sky?.kind === "celestial" && severalHdus(shown) && <p className="quiet">Sky positions are those of the red plane.</p>}
      {sky?.notes.map((note) => (
        <p key={note} className="quiet">
          Sky positions: {note}
        </p>
      ))}
      <AskedWords asked={asked} what="Reading the sky positions" />
    </>
  );
}

/** Whether a picture is composed of images that each have a header of their own. */
function severalHdus(shown: Shown): boolean {
  return new Set(planesOf(shown).map(({ plane }) => plane.hdu)).size > 1;
}

function Search({ shown, system }: { shown: Shown; system: string }) {
  const [text, setText] = useState("");
  const [words, setWords] = useState("");
  const [names, equatorial] = [celestialNames(system).join(" "), system === "equatorial"];
  const asked = useLatestBy<SkyAnswer>((url, signal) => getJson(url, signal), (answer) => setWords(arrive(shown, answer, text)));
  const go = (event: React.FormEvent) => {
    event.preventDefault();
    const position = readPosition(text, equatorial);
    setWords(position ? "" : `This is no position: write ${names}, as in ${equatorial ? "05:35:17.3 -05:23:28, or 83.822 -5.391 in degrees" : "209.01 -19.38, in degrees"}`);
    const address = skyAddress(shown);
    if (position && address) asked.want(`${address}&sky=${position.join(",")}`);
  };
  return (
    <section aria-label="Find a position">
      <h2>Find a position</h2>
      <form className="row search" onSubmit={go}>
        <input type="text" aria-label={`${names} to find`} placeholder={equatorial ? "RA Dec: 05:35:17 -05:23:28" : names} value={text} onChange={(event) => setText(event.target.value)} />
        <button type="submit" className="plain">Go</button>
        <button type="button" className="plain" onClick={() => (setMarks({ found: null }), setText(""), setWords(""))} aria-label="Remove the mark" title="Remove the mark">
          ×
        </button>
      </form>
      {words && <p role="status">{words}</p>}
      <AskedWords asked={asked} what="Finding the position" />
    </section>
  );
}

/** Go to where the position is, and say so. */
function arrive(shown: Shown, { position }: SkyAnswer, text: string): string {
  const { width, height } = shown.geometry;
  if (position?.x == null || position.y == null) return "This position is not on the map";
  const at = { x: position.x, y: position.y };
  const where = `x ${at.x.toFixed(1)}, y ${at.y.toFixed(1)}`;
  if (at.x < 0.5 || at.y < 0.5 || at.x > width + 0.5 || at.y > height + 0.5) return `This position is outside the picture: ${where}`;
  centreOn(shown, at, 1);
  setMarks({ found: { ...at, words: text.trim() } });
  return `At ${where}`;
}

// Which plane of the frame is shown: its HDU, its number in a cube (played, if wanted), as colour or not.
import { useEffect, useState } from "react";
import { shownHdu } from "../picture/geometry";
import { activePane, changeLook, useStore } from "../state/store";
import type { Facts, Look } from "../state/types";
import { dragLook } from "./act";
import { clamp } from "./curve";
import { NumberField } from "./number_field";
import { colours, composable, composed, images, MOSAIC, nameOf, onePlane, placesOf, planesOf, showHdu } from "./planes";

export function PlanePart({ facts }: { facts: Facts }) {
  const look = useStore((state) => activePane(state).look);
  const hdu = shownHdu(facts, look);
  const hdus = images(facts);
  const modes = hdu ? colours(hdu) : [];
  if (!hdu || (hdus.length < 2 && modes.length < 3 && planesOf(hdu) < 2)) return null;
  return (
    <div className="part" role="group" aria-labelledby="plane-part">
      <h2 id="plane-part">Plane</h2>
      {hdus.length > 1 && !look.rgb && (
        <label className="row nowrap">
          <span>HDU</span>
          <select className="grow" aria-label="HDU" value={hdu.index} onChange={(event) => changeLook(showHdu(Number(event.target.value)))}>
            {hdus.map((each) => (
              <option key={each.index} value={each.index}>{nameOf(each)}</option>
            ))}
          </select>
        </label>
      )}
      {onePlane(hdu, look) && <PlaneSlider count={planesOf(hdu)} />}
      {modes.length > 2 && !look.rgb && (
        <label className="row nowrap">
          <span>Colours</span>
          <select
            className="grow" aria-label="Colours" value={look.color ?? "auto"}
            onChange={(event) => changeLook({ color: event.target.value === "auto" ? null : event.target.value, map: null, cut: null, mid: null })}
          >
            {modes.map(({ value, label }) => (
              <option key={value} value={value}>{label}</option>
            ))}
          </select>
        </label>
      )}
      {composable(facts) && <Composition facts={facts} look={look} />}
    </div>
  );
}

const PLAY_MS = 250;

function PlaneSlider({ count }: { count: number }) {
  const plane = useStore((state) => Number(activePane(state).look.plane ?? 0));
  const arrived = useStore((state) => activePane(state).shown?.look.plane ?? "0");
  const [playing, setPlaying] = useState(false);
  const show = (wanted: number) => dragLook({ plane: String(clamp(Math.round(wanted), 0, count - 1)) });
  useEffect(() => {
    if (!playing || arrived !== String(plane)) return; // The next one follows when this one is on screen.
    const timer = setTimeout(() => changeLook({ plane: String((plane + 1) % count) }), PLAY_MS);
    return () => clearTimeout(timer);
  }, [playing, arrived, plane, count]);
  return (
    <div className="row nowrap">
      <button type="button" className="plain" aria-pressed={playing} aria-label={playing ? "Stop playing the planes" : "Play the planes"} onClick={() => setPlaying(!playing)}>
        {playing ? "❚❚" : "▶"}
      </button>
      <input className="grow" type="range" min={0} max={count - 1} value={plane} aria-label="Plane" aria-valuetext={`${plane} of 0 to ${count - 1}`} onChange={(event) => show(Number(event.target.value))} />
      <NumberField label={`of 0…${count - 1}`} value={String(plane)} step={1} onChange={show} />
    </div>
  );
}

function Composition({ facts, look }: { facts: Facts; look: Look }) {
  const places = placesOf(facts, look);
  const hdus = images(facts).filter((hdu) => hdu.index !== MOSAIC);
  const set = (at: number, change: { hdu?: number; plane?: number }) =>
    changeLook(composed(places.map((place, each) => (each === at ? { ...place, ...change } : place))));
  return (
    <details className="composition" open={look.rgb !== undefined}>
      <summary>Three planes as red, green and blue</summary>
      {["Red", "Green", "Blue"].map((label, at) => {
        const place = places[at] ?? { hdu: 0, plane: 0 };
        const of = hdus.find((hdu) => hdu.index === place.hdu);
        const count = of ? planesOf(of) : 1;
        return (
          <div key={label} className="row nowrap">
            <span className="channel-name">{label}</span>
            <select className="grow" aria-label={`HDU of ${label.toLowerCase()}`} value={place.hdu} onChange={(event) => set(at, { hdu: Number(event.target.value), plane: 0 })}>
              {hdus.map((hdu) => (
                <option key={hdu.index} value={hdu.index}>{nameOf(hdu)}</option>
              ))}
            </select>
            {count > 1 && <NumberField label="plane" value={String(place.plane)} step={1} onChange={(plane) => set(at, { plane: clamp(Math.round(plane), 0, count - 1) })} />}
          </div>
        );
      })}
      {look.rgb === undefined ? (
        <button type="button" className="plain" onClick={() => changeLook(composed(places))}>Show these three</button>
      ) : (
        <button type="button" className="plain" onClick={() => changeLook({ rgb: null, cut: null, mid: null })}>Back to one plane</button>
      )}
    </details>
  );
}

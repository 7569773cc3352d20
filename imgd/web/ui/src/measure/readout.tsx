// The line that says what is under the cursor: position, exact value, and where in the sky.
import { useEffect, useState } from "react";
import { copyPlace } from "./copy";
import { tellPlace, usePlace, type Place } from "./place";
import { skyWords, valueWords } from "./place_words";
import "./readout.css";

export function Readout() {
  const place = usePlace();
  const [degrees, setDegrees] = useState(false); // Kept while nothing is under the cursor.
  useEffect(() => tellPlace(place), [place]);
  useEffect(() => () => tellPlace(null), []);
  if (!place) return <div className="readout quiet" role="group" aria-label="Under the cursor" />;
  return (
    <div className="readout numbers" role="group" aria-label="Under the cursor">
      <span className="xy">
        <span className="quiet">x</span> {place.at.x.toFixed(1)} <span className="quiet">y</span> {place.at.y.toFixed(1)}
      </span>
      <Values place={place} />
      <Sky place={place} degrees={degrees} turn={() => setDegrees(!degrees)} />
      <button type="button" className="copy" aria-label="Copy position and value" title="Copy position and value (Shift + C)" onClick={() => void copyPlace()}>
        <svg viewBox="0 0 16 16" width="14" height="14" fill="none" stroke="currentColor" strokeWidth="1.4" aria-hidden="true">
          <rect x="2" y="2" width="9" height="9" rx="1.5" />
          <path d="M13.5 5v7a1.5 1.5 0 0 1-1.5 1.5H5" />
        </svg>
      </button>
    </div>
  );
}

function Values({ place: { values, unit, trouble, retry } }: { place: Place }) {
  if (trouble) {
    return (
      <button type="button" className="value wrong cut" title={trouble.text} onClick={retry}>
        {trouble.title}. Try again
      </button>
    );
  }
  if (!values) return <span className="value quiet">…</span>;
  return (
    <span className="value">
      {values.map((value, at) => (
        <span key={at} className={`${value.bad || value.saturated ? "odd" : ""} of-${value.letter || "all"}`}>
          {valueWords(value, unit)}
        </span>
      ))}
    </span>
  );
}

function Sky({ place: { sky, world }, degrees, turn }: { place: Place; degrees: boolean; turn: () => void }) {
  if (!sky) return null;
  if (!world) return <span className="sky quiet">not on the map</span>;
  const words = skyWords(sky, world, degrees).map(({ name, text }) => (
    <span key={name}>
      <span className="quiet">{name}</span> {text}
    </span>
  ));
  if (sky.system !== "equatorial") return <span className="sky">{words}</span>;
  return (
    <button type="button" className="sky" title={degrees ? "Show hours and minutes" : "Show degrees"} onClick={turn}>
      {words}
    </button>
  );
}

// What is known of a file as a whole.
import { shownHdu } from "../picture/geometry";
import { activePane, changeLook, useStore } from "../state/store";
import type { Facts } from "../state/types";
import { MOSAIC, showHdu, sizeOf } from "../stretch/planes";
import { hduWords } from "./cards";

export function FactsPart({ facts, frame }: { facts: Facts; frame: string }) {
  const look = useStore((state) => activePane(state).shown?.look ?? activePane(state).look);
  const hdu = shownHdu(facts, look);
  const mosaic = facts.hdus.find(({ index }) => index === MOSAIC);
  return (
    <div className="facts">
      <p className="facts-name">{decoded(frame)}</p>
      <p>
        {facts.format.toUpperCase()}, {facts.hdus.filter(({ index }) => index !== MOSAIC).length === 1 ? "one HDU" : `${facts.hdus.filter(({ index }) => index !== MOSAIC).length} HDUs`}
        {hdu && <span className="quiet"> · shown: {hdu.index === MOSAIC ? "mosaic" : `HDU ${hdu.index}`} · {hduWords(hdu)}</span>}
      </p>
      {mosaic && hdu?.index !== MOSAIC && (
        <button type="button" className="plain" onClick={() => changeLook(showHdu(MOSAIC))}>Show the mosaic, {sizeOf(mosaic.shape)}</button>
      )}
      {!facts.whole && <p className="wrong">The file is not whole: it is shorter than its header says.</p>}
      {facts.warnings.length > 0 && (
        <ul className="wrong" aria-label="Warnings">
          {facts.warnings.map((warning) => (
            <li key={warning}>{warning}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** A frame's name for people; as it is where it is no text. */
export function decoded(ref: string): string {
  try {
    return decodeURIComponent(ref);
  } catch {
    return ref;
  }
}

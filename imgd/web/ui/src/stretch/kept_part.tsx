// Settings that outlive the frame: for the next one, or for all frames of an instrument.
import { useEffect, useState } from "react";
import { activePane, changeLook, say, useStore } from "../state/store";
import type { Look } from "../state/types";
import { findInstrument, forget, keep, useKept } from "./kept";

export function KeptPart() {
  const ref = useStore((state) => activePane(state).ref);
  const keepLook = useStore((state) => state.keepLook);
  const instrument = useInstrument(ref);
  const { kept, lasting } = useKept();
  return (
    <div className="part" role="group" aria-labelledby="kept-part">
      <h2 id="kept-part">Keep these settings</h2>
      <label className="check">
        <input type="checkbox" checked={keepLook} onChange={(event) => useStore.setState({ keepLook: event.target.checked })} />
        For the next frame
      </label>
      {instrument && (
        <button type="button" className="plain cut" onClick={() => keepFor(instrument)}>
          For all of {instrument}
        </button>
      )}
      {!lasting && <p className="quiet">This browser keeps nothing: they last until the page is left.</p>}
      {kept.length > 0 && (
        <ul className="kept" aria-label="Kept settings">
          {kept.map((each) => (
            <li key={each.instrument}>
              <button type="button" className="grow" title="Use them for this frame" onClick={() => use(each.look)}>
                <span className="cut">{each.instrument}</span>
                <small className="quiet">{inWords(each.look)}</small>
              </button>
              <button type="button" aria-label={`Forget the settings of ${each.instrument}`} title="Forget" onClick={() => forget(each.instrument)}>×</button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function keepFor(instrument: string): void {
  keep(instrument, activePane(useStore.getState()).look);
  say(`Kept for ${instrument}`);
}

/** Use kept settings in place of those in force, on the plane that is shown. */
function use(look: Look): void {
  const now = activePane(useStore.getState()).look;
  const others = Object.keys(now).filter((name) => !["hdu", "plane", "rgb"].includes(name));
  changeLook({ ...Object.fromEntries(others.map((name) => [name, null])), ...look });
}

export function inWords(look: Look): string {
  const parts = Object.entries(look).map(([name, value]) => `${name} ${value}`);
  return parts.length ? parts.join(", ") : "the daemon's defaults";
}

function useInstrument(ref: string | null): string | null {
  const [found, setFound] = useState<{ ref: string; instrument: string } | null>(null);
  useEffect(() => {
    if (!ref) return;
    const leaving = new AbortController();
    findInstrument(ref, leaving.signal).then(
      (instrument) => setFound({ ref, instrument }),
      () => undefined, // There is nothing to keep for a frame that cannot be read.
    );
    return () => leaving.abort();
  }, [ref]);
  return found?.ref === ref ? found.instrument : null;
}

// What a pane says: that it is at work, what went wrong, which frame it is, that there is none yet.
import { useEffect, useState } from "react";
import { LiveBadge } from "../live/live_badge";
import { changePane, paneOf, useStore } from "../state/store";
import { pictureOf } from "./pictures";
import { nowAt } from "./runs";
import type { Pane } from "../state/types";

const QUIET_MS = 300;
const COARSE = "Coarse: from some of the rows. The exact picture is coming.";

function usePane<T>(id: number, of: (pane: Pane) => T): T | undefined {
  return useStore((state) => {
    const pane = paneOf(state, id);
    return pane && of(pane);
  });
}

/** True once `on` has lasted. */
function useLasting(on: boolean): boolean {
  const [lasting, setLasting] = useState(false);
  useEffect(() => {
    if (!on) return setLasting(false);
    const timer = setTimeout(() => setLasting(true), QUIET_MS);
    return () => clearTimeout(timer);
  }, [on]);
  return on && lasting;
}

export function Busy({ id }: { id: number }) {
  const busy = usePane(id, ({ ref, following, shown, run, trouble }) => run?.state === "running" || (ref !== null && !following && !shown && !trouble)) ?? false;
  const words = usePane(id, ({ run }) => nowAt(run)) ?? "";
  const coarse = usePane(id, (pane) => pane.coarse) ?? false;
  const lasting = useLasting(busy);
  return (
    <div className="pane-busy" role="status">
      {(lasting || coarse) && (
        <>
          <div className="bar" />
          <span>{coarse ? COARSE : words}</span>
        </>
      )}
    </div>
  );
}

export function Wrong({ id }: { id: number }) {
  const trouble = usePane(id, (pane) => pane.trouble);
  const dressed = usePane(id, (pane) => Object.keys(pane.look).length > 0);
  if (!trouble) return null;
  const again = (): void => {
    changePane(id, { trouble: null });
    pictureOf(id)?.retry();
  };
  return (
    <div className="trouble over" role="alert">
      <strong>{trouble.title}</strong>
      {trouble.text && <p>{trouble.text}</p>}
      <div className="row">
        <button type="button" className="plain" onClick={again}>
          Try again
        </button>
        {trouble.status === 400 && dressed && (
          <button type="button" className="plain" onClick={() => changePane(id, { trouble: null, look: {} })}>
            Show it without these settings
          </button>
        )}
        <button type="button" onClick={() => changePane(id, { trouble: null })}>
          Dismiss
        </button>
      </div>
    </div>
  );
}

export function Caption({ id }: { id: number }) {
  const ref = usePane(id, (pane) => pane.shown?.ref ?? pane.ref) ?? "";
  return (
    <div className="caption">
      <span className="cut">{nameOf(ref)}</span>
      <LiveBadge pane={id} />
    </div>
  );
}

/** The last part of a frame's name, to be read by people. */
export function nameOf(ref: string): string {
  const last = ref.split("/").at(-1) ?? "";
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

export function Empty({ id }: { id: number }) {
  const empty = usePane(id, (pane) => !pane.shown && pane.ref === null && !pane.trouble) ?? false;
  const dir = usePane(id, (pane) => pane.following?.dir ?? null) ?? null;
  if (!empty) return null;
  return (
    <div className="empty over">
      <p>{dir === null ? "No frame is open." : `Waiting for the first frame in ${nameOf(dir) || dir}.`}</p>
      <button type="button" className="plain" onClick={() => useStore.setState({ listOpen: true, active: id })}>
        Choose a frame
      </button>
    </div>
  );
}

// The strip of thumbnails at the foot: the list's frames, in its order.
import { useEffect, useRef, useState } from "react";
import { openFrame, useStore } from "../state/store";
import type { FrameRow } from "../state/types";
import { frames } from "./frames";
import { isFresh } from "./live";
import { shownName } from "./names";
import { keyOf, useRows } from "./rows";
import { Thumbnail } from "./thumbnail";
import { countWords, headerWords, timeWords } from "./words";
import { Trouble } from "./trouble";
import "./strip.css";

const SIZE_PX = 116;
const SLOW_PX_MS = 1.2; // Pictures are asked for while the strip moves no faster,
const REST_MS = 120; // or has rested for so long.

export function FrameStrip() {
  const box = useRef<HTMLDivElement>(null);
  const { known, virtualizer, count, cursor, current, keys, focused } = useRows({ who: "strip", box, size: SIZE_PX, horizontal: true });
  const rests = useRests(box);
  const listOpen = useStore((state) => state.listOpen); // What is wrong is said there already.
  useWheel(box);
  return (
    <section className="strip" aria-label="Thumbnails">
      {known.trouble && !listOpen && <Trouble trouble={known.trouble} />}
      {!known.trouble && known.shown && !count && <p className="quiet nothing">No frames.</p>}
      <div className="thumbs" ref={box} onKeyDown={keys}>
        <ul style={{ width: virtualizer.getTotalSize() }} aria-label={`${countWords(known.total)} frames`}>
          {virtualizer.getVirtualItems().map(({ index, start }) => {
            const row = frames.row(index);
            return (
              <li key={keyOf(row, index)} data-index={index} style={{ left: start }} aria-setsize={count} aria-posinset={index + 1} className={row && isFresh(row.ref) ? "fresh" : ""}>
                {row ? <Item row={row} rests={rests} current={row.ref === current} tab={index === cursor} focused={() => focused(index)} /> : <Blank />}
              </li>
            );
          })}
        </ul>
      </div>
    </section>
  );
}

function Item({ row, rests, current, tab, focused }: { row: FrameRow; rests: boolean; current: boolean; tab: boolean; focused: () => void }) {
  const name = shownName(row.ref);
  const more = headerWords(row).join(" · ");
  return (
    <button
      type="button"
      tabIndex={tab ? 0 : -1}
      aria-current={current ? "true" : undefined}
      aria-label={more ? `${name}, ${more}` : name}
      title={[name, more, timeWords(row.modified, true)].filter(Boolean).join("\n")}
      onClick={() => openFrame(row.ref)}
      onFocus={focused}
    >
      <span className="thumb">
        <Thumbnail row={row} rests={rests} />
      </span>
      <span className="cut">{name}</span>
    </button>
  );
}

function Blank() {
  return (
    <span className="item">
      <span className="thumb">
        <span className="row-blank" />
      </span>
    </span>
  );
}

/** Whether the strip moves so slowly that pictures can be looked at. */
function useRests(box: React.RefObject<HTMLDivElement | null>): boolean {
  const [rests, setRests] = useState(true);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last = { at: performance.now(), left: element.scrollLeft };
    const moved = (): void => {
      const now = { at: performance.now(), left: element.scrollLeft };
      setRests(Math.abs(now.left - last.left) / Math.max(1, now.at - last.at) < SLOW_PX_MS);
      last = now;
      clearTimeout(timer);
      timer = setTimeout(() => setRests(true), REST_MS);
    };
    element.addEventListener("scroll", moved, { passive: true });
    return () => {
      clearTimeout(timer);
      element.removeEventListener("scroll", moved);
    };
  }, [box]);
  return rests;
}

/** A wheel that turns up and down moves the strip along. */
function useWheel(box: React.RefObject<HTMLDivElement | null>): void {
  useEffect(() => {
    const element = box.current;
    const turned = (event: WheelEvent): void => {
      if (!element || event.ctrlKey || Math.abs(event.deltaX) >= Math.abs(event.deltaY)) return;
      element.scrollLeft += event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 40 : 1);
      event.preventDefault();
    };
    element?.addEventListener("wheel", turned, { passive: false });
    return () => element?.removeEventListener("wheel", turned);
  }, [box]);
}


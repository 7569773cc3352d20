// The list of frames: what to look for at the top, the rows, how many there are at the foot.
import { useEffect, useRef } from "react";
import { buttonOf, useFocusBack } from "../shell/focus";
import { openFrame } from "../state/store";
import { Folders } from "./folders";
import { frames, useFrames } from "./frames";
import { isFresh } from "./live";
import { chosen, closeList, isPhone } from "./phone";
import { Blank, Row } from "./row";
import { keyOf, useRows } from "./rows";
import { OrderChoice, Search } from "./search";
import { Trouble } from "./trouble";
import { countWords, dayOf, orderIsByDay, pendingWords } from "./words";
import "./list.css";

const ROW_PX = 64;

function open(ref: string): void {
  openFrame(ref);
  chosen();
}

export function FrameList() {
  const known = useFrames();
  const aside = useRef<HTMLElement>(null);
  useFocusBack(aside, () => buttonOf("list"));
  useEffect(() => {
    // On a phone the list covers what had the focus.
    if (isPhone()) aside.current?.querySelector<HTMLElement>(".close")?.focus();
  }, []);
  return (
    <aside className="list frames" aria-label="Frames" ref={aside} onKeyDown={escape}>
      <header>
        <div className="row">
          <h2 className="grow">Frames</h2>
          <OrderChoice order={known.query.order} />
          <button type="button" className="close" aria-label="Close the list" title="Close the list" onClick={closeList}>
            ×
          </button>
        </div>
        <Search known={known} />
        <Folders dir={known.query.dir} />
      </header>
      {known.trouble && !wrongSearch(known) && <Trouble trouble={known.trouble} />}
      <RowBox />
      <Foot />
    </aside>
  );
}

/** What is wrong with the search is said beside it. */
function wrongSearch({ trouble, query }: ReturnType<typeof frames.known>): boolean {
  return trouble?.status === 400 && query.search !== "";
}

function escape(event: React.KeyboardEvent): void {
  if (event.key !== "Escape" || !isPhone()) return;
  event.stopPropagation();
  closeList();
}

function RowBox() {
  const box = useRef<HTMLDivElement>(null);
  const { known, virtualizer, count, cursor, current, keys, focused } = useRows({ who: "list", box, size: ROW_PX, horizontal: false });
  const byDay = orderIsByDay((known.shown ?? known.query).order);
  const top = frames.row(Math.floor((virtualizer.scrollOffset ?? 0) / ROW_PX));
  const dayAt = (index: number): string => dayOf(frames.row(index)?.modified ?? null);
  return (
    <>
      {byDay && count > 0 && <p className="day numbers">{top ? dayOf(top.modified) : "…"}</p>}
      <div className={`rows${known.busy ? " busy" : ""}`} ref={box} onKeyDown={keys} aria-busy={known.busy}>
        {!count && <Nothing />}
        <ul style={{ height: virtualizer.getTotalSize() }} aria-label={`${countWords(known.total)} frames`}>
          {virtualizer.getVirtualItems().map(({ index, start }) => {
            const row = frames.row(index);
            const begins = byDay && row && frames.row(index - 1) && dayAt(index) !== dayAt(index - 1);
            return (
              <li key={keyOf(row, index)} data-index={index} style={{ top: start }} aria-setsize={count} aria-posinset={index + 1} className={row && isFresh(row.ref) ? "fresh" : ""}>
                {begins && <span className="begins numbers">{dayAt(index)}</span>}
                {row ? (
                  <Row row={row} index={index} current={row.ref === current} tab={index === cursor} withDay={!byDay} open={open} focused={focused} />
                ) : (
                  <Blank />
                )}
              </li>
            );
          })}
        </ul>
      </div>
    </>
  );
}

function Nothing() {
  const { shown, query, trouble, complete } = useFrames();
  if (trouble) return null;
  if (!shown) return <p className="nothing quiet">Loading…</p>;
  if (query.search) return <p className="nothing quiet">No frame matches. All words must occur in the path or the header.</p>;
  return <p className="nothing quiet">{complete ? "There are no frames here yet. New ones appear by themselves." : "Looking through the folders…"}</p>;
}

function Foot() {
  const { total, frames: all, described, complete, down, shown, busy } = useFrames();
  if (!shown) return null;
  const pending = pendingWords(all, described, complete);
  return (
    <footer className="quiet numbers">
      {countWords(total)} {total === 1 ? "frame" : "frames"}
      {pending && ` · ${pending}`}
      {down && <span className="wrong"> · the list may be behind: {down}</span>}
      <span className="unseen" role="status">
        {shown.search && !busy && `${countWords(total)} found`}
      </span>
    </footer>
  );
}

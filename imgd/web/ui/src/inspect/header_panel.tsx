// All header cards of the frame that is shown, by HDU, with a search over them; and what is known of the file.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { activePane, useStore } from "../state/store";
import { CardRow, HduRow } from "./card_row";
import { rowsOf, searchWords, type Header } from "./cards";
import { FactsPart } from "./facts_part";
import { useHeader } from "./use_header";
import "./inspect.css";

export function HeaderPanel() {
  const ref = useStore((state) => activePane(state).shown?.ref ?? activePane(state).ref);
  const version = useStore((state) => activePane(state).shown?.facts.hdus.map(({ shape, stored }) => `${shape} ${stored}`).join());
  const { header, slow, wrong, retry } = useHeader(ref, version);
  if (!ref) return <p className="quiet">Open a frame to see its header.</p>;
  if (wrong) {
    return (
      <div role="alert" className="wrong">
        <p>No header: {wrong}</p>
        <button type="button" className="plain" onClick={retry}>Try again</button>
      </div>
    );
  }
  if (!header) return slow ? <p className="quiet" role="status">Reading the header…</p> : null;
  return <HeaderView header={header} frame={ref} key={ref} />;
}

function HeaderView({ header, frame }: { header: Header; frame: string }) {
  const [search, setSearch] = useState("");
  const [closed, setClosed] = useState<ReadonlySet<number>>(new Set());
  const several = header.hdus.length > 1 && !search.trim();
  const total = header.hdus.reduce((count, hdu) => count + hdu.cards.length, 0);
  return (
    <div className="header-view">
      <FactsPart facts={header.frame} frame={frame} />
      <div className="row nowrap search">
        <input
          className="grow" type="search" value={search} placeholder="Search" aria-label="Search the header"
          onChange={(event) => setSearch(event.target.value)}
          onKeyDown={(event) => {
            if (event.key !== "Escape" || !search) return;
            setSearch("");
            event.stopPropagation();
          }}
        />
        <Count header={header} search={search} total={total} />
        {several && (
          <button type="button" className="plain" onClick={() => setClosed(closed.size ? new Set() : new Set(header.hdus.map(({ index }) => index)))}>
            {closed.size ? "Open all" : "Close all"}
          </button>
        )}
      </div>
      <CardList header={header} search={search} closed={closed} onClosed={setClosed} />
    </div>
  );
}

function Count({ header, search, total }: { header: Header; search: string; total: number }) {
  const found = useMemo(() => rowsOf(header.hdus, new Set(), search).filter(({ kind }) => kind === "card").length, [header, search]);
  return (
    <span className="quiet numbers" role="status">
      {search.trim() ? `${found} of ${total}` : `${total} cards`}
    </span>
  );
}

interface ListProps {
  header: Header;
  search: string;
  closed: ReadonlySet<number>;
  onClosed(closed: ReadonlySet<number>): void;
}

/** Only the rows in view are there, so that thousands of cards scroll as smoothly as ten. */
function CardList({ header, search, closed, onClosed }: ListProps) {
  const list = useRef<HTMLDivElement>(null);
  const words = searchWords(search);
  const rows = useMemo(() => rowsOf(header.hdus, closed, search), [header, closed, search]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => list.current,
    estimateSize: (at) => (rows[at]?.kind === "hdu" ? 58 : 44),
    getItemKey: (at) => rows[at]?.key ?? at,
    overscan: 8,
  });
  const toggle = (index: number) => {
    const next = new Set(closed);
    if (!next.delete(index)) next.add(index);
    onClosed(next);
  };
  useEffect(() => {
    void list.current?.scrollTo(0, 0); // It tells when it is there, which is no clean-up.
  }, [search]);
  return (
    <div ref={list} className="cards" tabIndex={0} role="region" aria-label="Header cards">
      <div className="cards-all" role="list" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map(({ index, key, start }) => {
          const row = rows[index];
          return (
            <div key={key} role="listitem" data-index={index} ref={virtual.measureElement} className="cards-row" style={{ transform: `translateY(${start}px)` }}>
              {row?.kind === "hdu" && <HduRow row={row} facts={header.frame} onToggle={() => toggle(row.hdu.index)} />}
              {row?.kind === "card" && <CardRow card={row.card} words={words} />}
            </div>
          );
        })}
      </div>
      {!rows.length && <p className="quiet">Nothing in this header matches.</p>}
    </div>
  );
}

// What to look for, and in which order.
import { useEffect, useId, useRef, useState } from "react";
import type { Known, Order } from "./known";
import { frames } from "./frames";
import { isPhone } from "./phone";

const REST_MS = 150; // The hand rests so long before it is looked for.

const ORDERS: readonly { order: Order; label: string }[] = [
  { order: "newest", label: "Newest first" },
  { order: "oldest", label: "Oldest first" },
  { order: "name", label: "Name" },
  { order: "-name", label: "Name, Z first" },
  { order: "object", label: "Object" },
  { order: "filter", label: "Filter" },
  { order: "exptime", label: "Exposure" },
];

export function OrderChoice({ order }: { order: Order }) {
  return (
    <select aria-label="Order" value={order} onChange={(event) => frames.choose({ order: event.target.value as Order })}>
      {ORDERS.map(({ order: each, label }) => (
        <option key={each} value={each}>
          {label}
        </option>
      ))}
    </select>
  );
}

export function Search({ known }: { known: Known }) {
  const [text, setText] = useState(known.query.search);
  const [helped, setHelped] = useState(false);
  const id = useId();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (typed: string, rest = REST_MS): void => {
    setText(typed);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      if (typed.trim() !== frames.known().query.search) frames.choose({ search: typed.trim() });
    }, rest);
  };
  const wrong = known.trouble?.status === 400 && known.query.search ? known.trouble : null;
  return (
    <div className="list-search">
      <div className="row">
        <input
          type="search"
          className="grow"
          aria-label="Search frames"
          aria-describedby={wrong ? `${id}-wrong` : undefined}
          aria-invalid={wrong !== null}
          placeholder="m31 FILTER=Ha EXPTIME>=60"
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          value={text}
          onChange={(event) => type(event.target.value)}
          onKeyDown={(event) => searchKey(event, text, type)}
        />
        <button type="button" className="plain" aria-label="How to search" title={HELP_TITLE} aria-expanded={helped} aria-controls={`${id}-help`} onClick={() => setHelped(!helped)}>
          ?
        </button>
      </div>
      {wrong && (
        <p id={`${id}-wrong`} className="wrong" role="alert">
          {wrong.text || wrong.title}
        </p>
      )}
      {helped && <SearchHelp id={`${id}-help`} />}
    </div>
  );
}

function searchKey(event: React.KeyboardEvent<HTMLInputElement>, text: string, type: (typed: string, rest: number) => void): void {
  if (event.key === "Escape" && text) type("", 0);
  else if (event.key === "Escape" && !isPhone()) event.currentTarget.blur(); // Back to the picture; what else is open stays.
  else if (event.key === "Enter") type(text, 0);
  else if (event.key === "ArrowDown") event.currentTarget.closest(".list")?.querySelector<HTMLElement>('.rows button[tabindex="0"]')?.focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

const HELP_TITLE = "Words that must all occur in the path or the header, and terms such as FILTER=Ha, EXPTIME>=60, date>=2026-11-01";

function SearchHelp({ id }: { id: string }) {
  return (
    <div id={id} className="list-help quiet">
      <p>Words must all occur, in the path or in the header, in any case.</p>
      <dl>
        <dt>FILTER=Ha</dt>
        <dd>a header field is this; != is not this</dd>
        <dt>OBJECT="M 31"</dt>
        <dd>quotes around what has spaces</dd>
        <dt>EXPTIME&gt;=60</dt>
        <dd>numbers: &lt; &lt;= &gt; &gt;=</dd>
        <dt>date&gt;=2026-11-01</dt>
        <dd>taken then or later (UTC)</dd>
      </dl>
    </div>
  );
}

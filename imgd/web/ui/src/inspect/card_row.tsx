// One card of a header, and the title of one HDU.
import { shownHdu } from "../picture/geometry";
import { activePane, changeLook, say, useStore } from "../state/store";
import type { Facts } from "../state/types";
import { showHdu } from "../stretch/planes";
import { bareComment, cardText, hduWords, marked, valueText, type Card, type Row } from "./cards";

function Marked({ text, words }: { text: string; words: readonly string[] }) {
  return marked(text, words).map(({ text: piece, found }, at) => (found ? <mark key={at}>{piece}</mark> : piece));
}

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied ${what}`);
  } catch {
    say("This browser lets nothing be copied from here: mark the text and copy it by hand", "wrong");
  }
}

export function CardRow({ card, words }: { card: Card; words: readonly string[] }) {
  const value = valueText(card.value);
  const comment = bareComment(card);
  const bare = card.keyword === "COMMENT" || card.keyword === "HISTORY" || card.keyword === "";
  return (
    <div className={`card${bare ? " bare" : ""}`}>
      <div className="card-text">
        <span className="keyword"><Marked text={card.keyword || "(no keyword)"} words={words} /></span>
        <span className="value numbers">
          {card.value === null ? <i className="quiet">undefined</i> : <Marked text={value} words={words} />}
          {card.unit && <span className="unit"> <Marked text={card.unit} words={words} /></span>}
        </span>
        {comment && <span className="comment quiet"><Marked text={comment} words={words} /></span>}
      </div>
      <div className="card-copy">
        <button type="button" aria-label={`Copy the value of ${card.keyword}`} title="Copy the value" onClick={() => void copy(value, `the value of ${card.keyword}`)}>value</button>
        <button type="button" aria-label={`Copy the card ${card.keyword}`} title="Copy the card" onClick={() => void copy(cardText(card), `the card ${card.keyword}`)}>card</button>
      </div>
    </div>
  );
}

export function HduRow({ row, facts, onToggle }: { row: Extract<Row, { kind: "hdu" }>; facts: Facts; onToggle(): void }) {
  const { hdu, open, found } = row;
  const known = facts.hdus.find(({ index }) => index === hdu.index);
  const shown = useStore((state) => {
    const { shown: now } = activePane(state);
    return now ? shownHdu(now.facts, now.look)?.index : undefined;
  });
  const image = known !== undefined && known.reason === null && known.shape.length >= 2 && known.stored !== null;
  return (
    <div className="hdu">
      <button type="button" className="grow hdu-title" aria-expanded={open} onClick={onToggle}>
        <span aria-hidden="true">{open ? "▾" : "▸"}</span> HDU {hdu.index} {hdu.name} <span className="quiet numbers">{found} {found === 1 ? "card" : "cards"}</span>
        {known && <small className="quiet">{hduWords(known)}</small>}
      </button>
      {image && shown !== hdu.index && (
        <button type="button" className="plain" onClick={() => changeLook(showHdu(hdu.index))}>Show this HDU</button>
      )}
    </div>
  );
}

// One row of the list: the name, what the header says, where it lies.
import { memo } from "react";
import type { FrameRow } from "../state/types";
import { folderOf, shownName, shownPath } from "./names";
import { headerWords, sizeWords, timeWords } from "./words";

interface Given {
  row: FrameRow;
  index: number;
  current: boolean;
  tab: boolean;
  withDay: boolean;
  open: (ref: string) => void;
  focused: (index: number) => void;
}

export const Row = memo(function Row({ row, index, current, tab, withDay, open, focused }: Given) {
  const words = headerWords(row);
  return (
    <button
      type="button"
      className="frame"
      tabIndex={tab ? 0 : -1}
      aria-current={current ? "true" : undefined}
      title={titleOf(row)}
      onClick={() => open(row.ref)}
      onFocus={() => focused(index)}
    >
      <span className="name cut">{shownName(row.ref)}</span>
      <span className="time numbers quiet">{timeWords(row.modified, withDay)}</span>
      {row.why ? (
        <span className="header cut wrong">cannot be read: {row.why}</span>
      ) : (
        words.length > 0 && <span className="header cut">{words.join(" · ")}</span>
      )}
      <span className="size numbers quiet">{sizeWords(row.size_bytes)}</span>
      <span className={`folder cut quiet${words.length || row.why ? "" : " alone"}`}>{shownPath(folderOf(row.ref))}</span>
    </button>
  );
});

function titleOf(row: FrameRow): string {
  const taken = row.hdu["DATE-OBS"];
  return [shownPath(row.ref), headerWords(row).join(" · "), row.why, taken && `taken ${String(taken)} (header)`, `written ${timeWords(row.modified, true)}`]
    .filter(Boolean)
    .join("\n");
}

export function Blank() {
  return (
    <span className="frame" aria-hidden="true">
      <span className="row-blank" />
      <span className="row-blank short" />
    </span>
  );
}

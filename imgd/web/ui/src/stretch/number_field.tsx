// A number that is typed: taken on Enter or when it is left; Escape brings the old one back.
import { useState } from "react";

interface Props {
  label: string;
  value: string;
  /** What arrow keys add. */
  step: number;
  onChange(value: number): void;
}

export function NumberField({ label, value, step, onChange }: Props) {
  const [draft, setDraft] = useState<string | null>(null);
  const bad = draft !== null && !(draft.trim() !== "" && Number.isFinite(Number(draft.replace(",", "."))));
  const take = () => {
    if (draft !== null && !bad && draft !== value) onChange(Number(draft.replace(",", ".")));
    setDraft(null);
  };
  return (
    <label className="number-field">
      <span className="quiet">{label}</span>
      <input
        className="numbers"
        inputMode="decimal"
        autoComplete="off"
        value={draft ?? value}
        aria-invalid={bad}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={take}
        onKeyDown={(event) => {
          const by = event.key === "ArrowUp" ? step : event.key === "ArrowDown" ? -step : 0;
          if (event.key === "Enter") take();
          else if (event.key === "Escape" && draft !== null) setDraft(null);
          else if (by) onChange(Number(value) + by * (event.shiftKey ? 0.1 : 1));
          else return;
          event.preventDefault();
          event.stopPropagation();
        }}
      />
    </label>
  );
}

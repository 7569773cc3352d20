// Why the list cannot be shown, in words, with a way to retry.
import type { Trouble as What } from "../state/types";
import { frames } from "./frames";

export function Trouble({ trouble }: { trouble: What }) {
  return (
    <div className="list-trouble" role="alert">
      <p className="wrong">
        {trouble.title}
        {trouble.text && `: ${trouble.text}`}
      </p>
      <button type="button" className="plain" onClick={() => frames.retry()}>
        Try again
      </button>
    </div>
  );
}

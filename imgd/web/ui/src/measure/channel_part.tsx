// Which plane of a colour picture is measured and saved; nothing for a picture of one plane.
import { useStore } from "../state/store";
import type { Shown } from "../state/types";
import { COLOURS, colourOf, planesOf } from "./subject";

/** `words`: what is done with the plane that is chosen. */
export function ChannelPart({ shown, words }: { shown: Shown; words: string }) {
  const channel = useStore((state) => state.channel);
  if (planesOf(shown).length < 2) return null;
  return (
    <div className="row" role="group" aria-label={words}>
      <span>{words}</span>
      {COLOURS.map((colour, at) => (
        <button key={colour} type="button" className="plain" aria-pressed={at === channel} onClick={() => useStore.setState({ channel: at })}>
          {colour}
        </button>
      ))}
    </div>
  );
}

/** Beside a heading: of which plane it is. */
export function OfPlane({ shown }: { shown: Shown }) {
  const channel = useStore((state) => state.channel);
  const colour = colourOf(shown, channel);
  return colour ? <span className="quiet">{colour} plane</span> : null;
}

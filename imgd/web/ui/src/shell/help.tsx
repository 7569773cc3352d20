// The help over the page: all keys, what the hand does, how to measure, what the colours mean.
import { useStore } from "../state/store";
import { Dialog } from "./dialog";
import { KEYS, shownKey, type Group, type Key } from "./keys_table";
import "./help.css";

const GESTURES: readonly [string, string][] = [
  ["Drag", "move the picture (tool “Move”)"],
  ["Wheel, or pinch", "zoom about the pointer, or about the fingers"],
  ["Double click, or double tap", "1:1 there; once more: fit"],
  ["Drag with the tools line, rectangle, circle", "draw a shape to measure"],
  ["Drag the handles of the histogram", "set black, middle and white"],
  ["Click into the small map", "look there"],
];

const MEASURING: readonly string[] = [
  "The line at the foot shows the pixel under the cursor: its position (the first pixel stored is 1, 1), its exact value, and its place in the sky if the header tells that. “bad” is a pixel without a measurement; 0 is a value like any other.",
  "Choose a line (7) and draw it: the panel Measure (m) shows the values along it. A rectangle (8) or circle (9) gives mean, median and sigma inside.",
  "Stars (w) are circled by the radius that holds half of their light (HFR); the panel Measure has the medians of the frame.",
];

const COLOURS: readonly [string, string, string][] = [
  ["good", "A green, round dot", "connected: changes show at once"],
  ["accent", "Yellow", "chosen, busy, or worth a look; a ring: connected by plain HTTP"],
  ["wrong", "Red", "lost (a square), or failed: the words beside it say why"],
  ["accent", "Circles of stars", "yellow: measured; red and dashed: saturated, not to be measured"],
  ["", "At night", "all is red: shapes and words tell what colours tell by day"],
];

export function Help() {
  const open = useStore((state) => state.helpOpen);
  return (
    <Dialog open={open} title="Help" className="help" onClose={() => useStore.setState({ helpOpen: false })}>
      <div className="help-keys">
        <section className="by-hand">
          <h3>By hand</h3>
          <dl className="gestures">{GESTURES.map(([how, what]) => <Pair key={how} how={how} what={what} />)}</dl>
        </section>
        {groups().map(([group, keys]) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>{keys.map((key) => <KeyRow key={key.words} entry={key} />)}</dl>
          </section>
        ))}
        <section>
          <h3>Colours</h3>
          <dl className="gestures">{COLOURS.map(([kind, how, what]) => <Pair key={how} how={how} what={what} className={kind} />)}</dl>
        </section>
        <section className="measuring">
          <h3>Measuring</h3>
          {MEASURING.map((words) => <p key={words}>{words}</p>)}
        </section>
      </div>
      <p className="quiet">For programs: <a href="docs">the daemon’s interface</a>.</p>
    </Dialog>
  );
}

function groups(): [Group, Key[]][] {
  const found = new Map<Group, Key[]>();
  for (const key of Object.values<Key>(KEYS)) found.set(key.group, [...(found.get(key.group) ?? []), key]);
  return [...found];
}

function KeyRow({ entry }: { entry: Key }) {
  return (
    <div>
      <dt>{entry.keys.map((key) => <kbd key={key}>{shownKey(key)}</kbd>)}</dt>
      <dd>{entry.words}</dd>
    </div>
  );
}

function Pair({ how, what, className = "" }: { how: string; what: string; className?: string }) {
  return (
    <div>
      <dt className={className}>{how}</dt>
      <dd>{what}</dd>
    </div>
  );
}

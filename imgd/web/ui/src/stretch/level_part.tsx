// How black and white are chosen: numbers, one of the daemon's ways, or back to what it does by itself.
import { activePane, changeLook, useStore } from "../state/store";
import type { Level } from "../state/types";
import { putHandle } from "./act";
import { clamp, MID_MAX, MID_MIN, valueOfMid } from "./curve";
import { told } from "./handles";
import { askLevels, CHANNELS, curveOf, kindOf, LEVEL_KINDS, levelOf, resetOf, type Channel } from "./levels";
import { NumberField } from "./number_field";

export function LevelNumbers({ levels, channel }: { levels: readonly Level[]; channel: Channel }) {
  const look = useStore((state) => activePane(state).look);
  const level = levelOf(levels, channel);
  const step = (level.white - level.black) / 100;
  const curve = curveOf(look);
  const setMid = (mid: number) =>
    putHandle(channel, "mid", valueOfMid(curve, { ...level, mid: clamp(mid, MID_MIN, MID_MAX) }));
  return (
    <div className="level-numbers">
      <NumberField label="Black" value={told(level.black, level)} step={step} onChange={(value) => putHandle(channel, "black", value)} />
      <NumberField label="Midtone" value={level.mid.toPrecision(3)} step={0.01} onChange={setMid} />
      <NumberField label="White" value={told(level.white, level)} step={step} onChange={(value) => putHandle(channel, "white", value)} />
    </div>
  );
}

export function ChannelChoice({ channel, onChoose }: { channel: Channel; onChoose(channel: Channel): void }) {
  const all: readonly { channel: Channel; label: string }[] = [
    { channel: "all", label: "All" },
    ...([0, 1, 2] as const).map((each) => ({ channel: each, label: CHANNELS[each] })),
  ];
  return (
    <div className="row segments" role="group" aria-label="Channel that the handles are of">
      {all.map(({ channel: each, label }) => (
        <button key={label} type="button" className={`plain channel-${each}`} aria-pressed={each === channel} onClick={() => onChoose(each)}>
          {label}
        </button>
      ))}
    </div>
  );
}

export function LevelKinds() {
  const look = useStore((state) => activePane(state).look);
  const kind = kindOf(look);
  const known = LEVEL_KINDS.some(({ value }) => value === kind);
  return (
    <div className="row">
      <button type="button" className="plain" aria-pressed={kind === "auto"} title="Black, white and midtone from the histogram" onClick={() => changeLook(askLevels("auto"))}>
        Auto
      </button>
      <button type="button" className="plain" aria-pressed={kind === "zscale"} title="Black and white as IRAF's zscale finds them" onClick={() => changeLook(askLevels("zscale"))}>
        zscale
      </button>
      <label className="grow row nowrap">
        <span className="unseen">Levels</span>
        <select className="grow" aria-label="Levels" value={kind} onChange={(event) => changeLook(askLevels(event.target.value))}>
          {LEVEL_KINDS.map(({ value, label }) => (
            <option key={value} value={value}>{label}</option>
          ))}
          {!known && <option value={kind} disabled>{kind === "cut" ? "By hand" : `Quantiles ${kind}`}</option>}
        </select>
      </label>
      <button type="button" className="plain" title="Everything below back to the daemon's defaults" onClick={() => changeLook(resetOf(look))}>
        Reset
      </button>
    </div>
  );
}

// How greys and colours are made of the levels: the stretch, the colour map, marks, and how pixels are put together.
import { activePane, changeLook, useStore } from "../state/store";
import { dragLook, levelsOfPane } from "./act";
import { clamp, STRETCH_NAMES, STRETCHES, type Stretch } from "./curve";
import { changesOf, curveOf, number } from "./levels";
import { MAPS, ramp } from "./maps";
import { NumberField } from "./number_field";

export function StretchKinds() {
  const look = useStore((state) => activePane(state).look);
  const { stretch, power } = curveOf(look);
  const choose = (kind: Stretch) =>
    changeLook({ stretch: kind === "mtf" ? null : kind, power: kind === "power" ? (look.power ?? null) : null, mid: null });
  return (
    <div className="part" role="group" aria-labelledby="stretch-kinds">
      <h2 id="stretch-kinds">Stretch</h2>
      <div className="segments six">
        {STRETCHES.map((kind) => (
          <button key={kind} type="button" className="plain" aria-pressed={kind === stretch} onClick={() => choose(kind)}>
            {STRETCH_NAMES[kind]}
          </button>
        ))}
      </div>
      {stretch === "power" && (
        <div className="row nowrap">
          <input
            className="grow" type="range" min={-1.3} max={1.3} step={0.01} value={Math.log10(power)} aria-label="Exponent" aria-valuetext={power.toFixed(2)}
            onChange={(event) => dragLook({ power: number(10 ** Number(event.target.value)) })}
          />
          <NumberField label="Exponent" value={String(Number(power.toFixed(3)))} step={0.1} onChange={(value) => changeLook({ power: number(clamp(value, 0.05, 20)) })} />
        </div>
      )}
    </div>
  );
}

/** A switch of the look: `on` when it is set, absent otherwise. */
function Switch({ name, on = "1", label, hint }: { name: string; on?: string; label: string; hint?: string }) {
  const value = useStore((state) => activePane(state).look[name]);
  return (
    <label className="check" title={hint}>
      <input type="checkbox" checked={value === on} onChange={(event) => changeLook({ [name]: event.target.checked ? on : null })} />
      {label}
    </label>
  );
}

export function ColourPart({ channels }: { channels: number }) {
  return (
    <div className="part" role="group" aria-labelledby="colour-part">
      <h2 id="colour-part">Colour</h2>
      {channels === 3 ? (
        <div className="row">
          <Together name="link" label="Linked" hint="One black and one white for red, green and blue" />
          <Together name="neutral" label="Neutral background" hint="The background becomes grey; the channels are then linked" />
        </div>
      ) : (
        <MapChoice />
      )}
      <div className="row">
        <Switch name="invert" label="Invert" />
        <Switch name="pool" on="max" label="Keep bright spots" hint="When it is reduced, each pixel shows the highest of those that it stands for" />
      </div>
    </div>
  );
}

/** A switch that gives the channels one black and one white: levels given for each of them become their mean. */
function Together({ name, label, hint }: { name: "link" | "neutral"; label: string; hint: string }) {
  const on = useStore((state) => activePane(state).look[name] === "1");
  const turn = (wanted: boolean) => {
    const pane = activePane(useStore.getState());
    const after = { ...pane.look, [name]: "1" };
    changeLook({ ...(wanted && pane.look.cut !== undefined && changesOf(levelsOfPane(pane), after)), [name]: wanted ? "1" : null });
  };
  return (
    <label className="check" title={hint}>
      <input type="checkbox" checked={on} onChange={(event) => turn(event.target.checked)} />
      {label}
    </label>
  );
}

function MapChoice() {
  const map = useStore((state) => activePane(state).look.map ?? "");
  const invert = useStore((state) => activePane(state).look.invert === "1");
  return (
    <label className="row nowrap">
      <span>Map</span>
      <select className="grow" aria-label="Colour map" value={map} onChange={(event) => changeLook({ map: event.target.value || null })}>
        <option value="">grey</option>
        {Object.keys(MAPS).map((name) => (
          <option key={name} value={name}>{name}</option>
        ))}
      </select>
      <span className="swatch" aria-hidden="true" style={{ background: ramp(map, invert) }} />
    </label>
  );
}

const MARKS = [
  { name: "bad", label: "Bad pixels", first: "ff00ff" },
  { name: "over", label: "Above white", first: "ff3030" },
  { name: "under", label: "Below black", first: "3060ff" },
] as const;
const NAMED: Readonly<Record<string, string>> = {
  black: "000000", white: "ffffff", grey: "808080", red: "ff0000", green: "00ff00", blue: "0000ff",
  cyan: "00ffff", magenta: "ff00ff", yellow: "ffff00", orange: "ffa500",
};

export function MarksPart() {
  const look = useStore((state) => activePane(state).look);
  return (
    <div className="part" role="group" aria-labelledby="marks-part">
      <h2 id="marks-part">Mark pixels</h2>
      <div className="marks">
        {MARKS.map(({ name, label, first }) => {
          const given = look[name];
          const on = given !== undefined && given !== "none";
          return (
            <div key={name} className="mark">
              <label className="check">
                <input type="checkbox" checked={on} onChange={(event) => changeLook({ [name]: event.target.checked ? first : null })} />
                {label}
              </label>
              <input
                type="color" aria-label={`Colour: ${label}`} disabled={!on} value={`#${NAMED[given ?? ""] ?? (on ? given : first)}`}
                onChange={(event) => dragLook({ [name]: event.target.value.slice(1) })}
              />
            </div>
          );
        })}
      </div>
    </div>
  );
}

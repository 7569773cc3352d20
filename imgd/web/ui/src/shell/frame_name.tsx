// The name of the frame that is shown, with what its header says of it; and which of its images and planes.
import { frames, useFrames } from "../frames/frames";
import { headerWords } from "../frames/words";
import { activePane, changeLook, useStore } from "../state/store";
import type { Hdu, Look, Shown } from "../state/types";
import { NumberField } from "../stretch/number_field";
import { partsOf } from "./names";

export function FrameName() {
  const ref = useStore((state) => {
    const pane = activePane(state);
    return pane.shown?.ref ?? pane.ref;
  });
  const asked = useStore((state) => activePane(state).ref);
  useFrames(); // Rows come and go without a word in the store.
  if (!ref) return <div className="frame-name quiet">No frame is open</div>;
  const { root, folders, file } = partsOf(ref);
  const row = frames.row(frames.indexOf(ref) ?? -1);
  const waits = asked !== null && asked !== ref;
  return (
    <div className="frame-name" title={[root, folders, file].filter(Boolean).join("/")}>
      <h1 className="cut">
        <span className="quiet">{root}/{folders && `${folders}/`}</span>
        <bdi>{file}</bdi>
        {waits && <span className="quiet"> … {partsOf(asked).file}</span>}
      </h1>
      {row && headerWords(row).length > 0 && <p className="cut quiet">{headerWords(row).join(" · ")}</p>}
    </div>
  );
}

/** Choices for a frame of several images or planes; nothing for others. */
export function PlaneChoice() {
  const shown = useStore((state) => activePane(state).shown);
  const look = useStore((state) => activePane(state).look);
  if (!shown || look.rgb) return null;
  const images = imagesOf(shown);
  const hdu = images.find(({ index }) => index === shown.hdu);
  const planes = hdu ? planesOf(hdu) : 1;
  if (images.length < 2 && planes < 2) return null;
  return (
    <div className="choices">
      {images.length > 1 && <HduChoice images={images} chosen={shown.hdu} />}
      {planes > 1 && <PlaneNumber planes={planes} look={look} />}
    </div>
  );
}

function imagesOf({ facts }: Shown): Hdu[] {
  return facts.hdus.filter((hdu) => hdu.shape.length >= 2 && hdu.reason === null);
}

/** How many planes are behind one another; those that make one colour picture count as one. */
export function planesOf({ shape, rgb }: Pick<Hdu, "shape" | "rgb">): number {
  return rgb ? 1 : shape.slice(0, -2).reduce((product, count) => product * count, 1);
}

function HduChoice({ images, chosen }: { images: readonly Hdu[]; chosen: number }) {
  const choose = (value: string): void => changeLook({ hdu: value, plane: null, cut: null, mid: null, levels: null });
  return (
    <select className="choice" aria-label="Image of the frame" value={chosen} onChange={({ target }) => choose(target.value === "-1" ? "mosaic" : target.value)}>
      {images.map(({ index, name, shape }) => (
        <option key={index} value={index}>
          {index === -1 ? "Mosaic" : `${index} ${name}`} {shape.at(-1)} × {shape.at(-2)}
        </option>
      ))}
    </select>
  );
}

function PlaneNumber({ planes, look }: { planes: number; look: Look }) {
  const plane = Number(look.plane ?? 0);
  const go = (to: number): void => changeLook({ plane: String(Math.min(planes - 1, Math.max(0, Math.round(to) || 0))) });
  return (
    <div className="choice numbers" title="Plane of the cube, from 0">
      <NumberField label="Plane" value={String(plane)} step={1} onChange={go} />
      <span className="quiet">of {planes}</span>
    </div>
  );
}

// What can be taken away: the picture as seen, pixels, the link, a command line.
import { useState } from "react";
import { resolved } from "../picture/geometry";
import { activePane, useStore } from "../state/store";
import type { Camera, Geometry, Shape, Shown } from "../state/types";
import { Dialog } from "./dialog";
import { drawnRegion, sectionOf, visibleRegion, type Region } from "./region";
import { CopyPart, PicturePart, PixelPart } from "./takeaway_parts";
import { SavingState, useSaving } from "./takeaway_saving";
import "./takeaway.css";

export type Part = "seen" | "whole" | "drawn";

export function TakeAway() {
  const open = useStore((state) => state.takeAwayOpen);
  return (
    <Dialog open={open} title="Take away" className="take-away" onClose={() => useStore.setState({ takeAwayOpen: false })}>
      <Content />
    </Dialog>
  );
}

function Content() {
  const shown = useStore((state) => activePane(state).shown);
  if (!shown) return <p>There is no picture yet.</p>;
  return <OfPicture shown={shown} />;
}

function OfPicture({ shown }: { shown: Shown }) {
  const { camera, stage, shape } = useStore.getState(); // It does not change under a dialog.
  const [part, setPart] = useState<Part>("seen");
  const [saving, run] = useSaving();
  const regions = regionsOf(shown.geometry, camera, stage, shape);
  const region = regions[part];
  return (
    <>
      <fieldset className="parts">
        <legend>Which part</legend>
        <PartChoice part="seen" words="What is seen" region={regions.seen} chosen={part} choose={setPart} />
        <PartChoice part="whole" words="The whole plane" region={regions.whole} chosen={part} choose={setPart} />
        <PartChoice part="drawn" words="The shape drawn" region={regions.drawn} chosen={part} choose={setPart} />
      </fieldset>
      {region && (
        <>
          <PicturePart shown={shown} region={region} camera={camera} run={run} busy={saving.busy !== null} />
          <PixelPart shown={shown} region={region} run={run} busy={saving.busy !== null} />
          <CopyPart shown={shown} region={region} camera={camera} box={boxOf(region, camera, shown.geometry, stage)} />
        </>
      )}
      <SavingState {...saving} />
    </>
  );
}

function regionsOf(geometry: Geometry, camera: Camera, stage: { width: number; height: number }, shape: Shape | null): Record<Part, Region | null> {
  return {
    seen: visibleRegion(camera, geometry, stage),
    whole: { x: 0, y: 0, width: geometry.width, height: geometry.height },
    drawn: drawnRegion(shape, geometry),
  };
}

/** As many pixels as the region has on this screen. */
function boxOf(region: Region, camera: Camera, geometry: Geometry, stage: { width: number; height: number }): { width: number; height: number } {
  const scale = resolved(camera, geometry, stage).scale * devicePixelRatio;
  const [width, height] = camera.turn % 180 ? [region.height, region.width] : [region.width, region.height];
  return { width: width * scale, height: height * scale };
}

interface ChoiceProps {
  part: Part;
  words: string;
  region: Region | null;
  chosen: Part;
  choose: (part: Part) => void;
}

function PartChoice({ part, words, region, chosen, choose }: ChoiceProps) {
  if (!region && part === "drawn") return null;
  return (
    <label className="check">
      <input type="radio" name="part" checked={part === chosen} disabled={!region} onChange={() => choose(part)} />
      {words}
      <span className="quiet numbers">{region ? `${region.width} × ${region.height} ${sectionOf(region)}` : "none of the picture"}</span>
    </label>
  );
}

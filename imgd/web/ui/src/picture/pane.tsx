// One pane of the stage: the picture, what is drawn over it, and what is said about it.
import { memo, useEffect, useLayoutEffect, useRef } from "react";
import { Magnifier } from "../measure/magnifier";
import { Overlay } from "../measure/overlay";
import { paneOf, useStore } from "../state/store";
import { resolved } from "./geometry";
import { Hand } from "./hand";
import { hearMoves } from "./moves";
import { Minimap } from "./minimap";
import { Busy, Caption, Empty, Wrong } from "./pane_words";
import { pictureOf } from "./pictures";
import { letGo, look as lookUnder, pointAt, pointNowhere } from "./pointer";

const TAP_PX = 10; // A finger that moves further drags.

interface Props {
  id: number;
  active: boolean;
  seen: boolean;
  several: boolean;
}

export const StagePane = memo(function StagePane({ id, active, seen, several }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const ground = useRef<HTMLDivElement>(null);
  const hasShown = useStore((state) => paneOf(state, id)?.shown != null);
  const trouble = useStore((state) => paneOf(state, id)?.trouble != null);
  useLayoutEffect(() => (canvas.current && host.current ? pictureOf(id)?.screen.attach(canvas.current, host.current) : undefined), [id]);
  useHand(id, ground);
  usePointer(id, host, ground);
  return (
    <div
      ref={host}
      className={`pane${active && several ? " active" : ""}${seen ? "" : " away"}${trouble ? " troubled" : ""}`}
      data-pane={id}
      role="group"
      aria-label={several ? `Picture ${id}` : "Picture"}
      onPointerDownCapture={() => !active && useStore.setState({ active: id })}
    >
      <canvas ref={canvas} className="picture" role="img" aria-label="The frame as seen" />
      <div ref={ground} className="hand" />
      {hasShown && <Over id={id} />}
      {active && <Magnifier />}
      {active && hasShown && <Minimap id={id} />}
      {several && <Caption id={id} />}
      <Busy id={id} />
      <Wrong id={id} />
      <Empty id={id} />
    </div>
  );
});

/** What is drawn over the picture follows the camera at once. */
function Over({ id }: { id: number }) {
  const geometry = useStore((state) => paneOf(state, id)?.shown?.geometry ?? null);
  const camera = useStore((state) => state.camera);
  const stage = useStore((state) => state.stage);
  if (!geometry || !stage.width) return null;
  return <Overlay pane={id} camera={resolved(camera, geometry, stage)} stage={stage} />;
}

/** Have the pane moved by hand, and by keys while it is the active one. */
function useHand(id: number, ground: React.RefObject<HTMLDivElement | null>): void {
  useEffect(() => {
    if (!ground.current) return;
    const hand = new Hand(ground.current);
    const look = (): void => {
      const geometry = paneOf(useStore.getState(), id)?.shown?.geometry;
      if (geometry) hand.show(geometry);
    };
    const ends = [
      useStore.subscribe((state) => paneOf(state, id)?.shown?.geometry, look),
      useStore.subscribe((state) => state.camera, () => hand.place()),
      useStore.subscribe((state) => state.stage, () => hand.place()),
      hearMoves((move) => useStore.getState().active === id && hand.move(move)),
    ];
    look();
    return () => {
      for (const end of ends) end();
      hand.destroy();
    };
  }, [id, ground]);
}

/** The cursor of the store, and wheels over what is drawn above the picture. */
function usePointer(id: number, host: React.RefObject<HTMLDivElement | null>, ground: React.RefObject<HTMLDivElement | null>): void {
  useEffect(() => {
    const pane = host.current;
    if (!pane) return;
    let pressed = { x: 0, y: 0 };
    const over = (event: PointerEvent): void => {
      if (event.type === "pointerdown") pressed = { x: event.clientX, y: event.clientY };
      if ((event.target as Element).closest(".over")) return pointNowhere(); // What is said, and the minimap.
      const { left, top } = pane.getBoundingClientRect();
      if (event.pointerType === "mouse" || event.type === "pointerup") pointAt(id, event.clientX - left, event.clientY - top);
    };
    const up = (event: PointerEvent): void => {
      if (event.pointerType === "mouse" || Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > TAP_PX) return;
      over(event);
      requestAnimationFrame(letGo); // On a touch screen it stays where the last tap was, whatever is moved.
    };
    const out = (event: PointerEvent): void => {
      if (event.pointerType === "mouse") requestAnimationFrame(letGo); // What was told last can be copied by a button.
    };
    const wheel = (event: WheelEvent): void => {
      const target = event.target as Element;
      const inside = ground.current?.querySelector(".openseadragon-canvas");
      if (!inside || ground.current?.contains(target) || target.closest(".over")) return;
      event.preventDefault();
      inside.dispatchEvent(new WheelEvent("wheel", event));
    };
    const stop = new AbortController();
    const options = { signal: stop.signal, capture: true };
    pane.addEventListener("pointermove", over, options);
    pane.addEventListener("pointerdown", over, options);
    pane.addEventListener("pointerup", up, options);
    pane.addEventListener("pointerleave", out, { signal: stop.signal });
    pane.addEventListener("wheel", wheel, { signal: stop.signal, passive: false });
    const end = useStore.subscribe((state) => state.camera, lookUnder);
    return () => {
      stop.abort();
      end();
    };
  }, [id, host, ground]);
}

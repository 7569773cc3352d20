// All of the plane, small, with the part that is seen marked; drag the mark to move there. Only when there is more to see.
import { useEffect, useRef } from "react";
import { moveCamera, paneOf, useStore } from "../state/store";
import { matrixOf, resolved } from "./geometry";
import { seen } from "./levels";
import { pictureOf } from "./pictures";
import type { Camera, Geometry } from "../state/types";

const SIDE_PX = 148;

interface Shape {
  width: number;
  height: number;
  camera: Camera; // By which the small picture lies: turned and mirrored as the large one.
}

export function shapeOf(geometry: Geometry, camera: Camera, side = SIDE_PX): Shape {
  const scale = side / Math.max(geometry.width, geometry.height);
  const across = camera.turn % 180 !== 0;
  const [width, height] = across ? [geometry.height, geometry.width] : [geometry.width, geometry.height];
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
    camera: { ...camera, x: geometry.width / 2, y: geometry.height / 2, scale, fitted: false },
  };
}

export function Minimap({ id }: { id: number }) {
  const geometry = useStore((state) => paneOf(state, id)?.shown?.geometry ?? null);
  const camera = useStore((state) => state.camera);
  const stage = useStore((state) => state.stage);
  const wanted = useStore((state) => state.overlays.minimap);
  if (!geometry || !wanted || !stage.width || stage.width < 300) return null;
  const part = seen(resolved(camera, geometry, stage), stage, geometry);
  const all = part && (part.x1 - part.x0) * (part.y1 - part.y0) > 0.98 * geometry.width * geometry.height;
  if (all) return null;
  return <Map id={id} geometry={geometry} camera={camera} part={part} />;
}

function Map({ id, geometry, camera, part }: { id: number; geometry: Geometry; camera: Camera; part: ReturnType<typeof seen> }) {
  const shape = shapeOf(geometry, camera);
  const canvas = useRef<HTMLCanvasElement>(null);
  const shown = useStore((state) => paneOf(state, id)?.shown);
  const run = useStore((state) => paneOf(state, id)?.run?.state);
  useEffect(() => {
    if (canvas.current) paintMap(canvas.current, shape, geometry, pictureOf(id)?.whole() ?? null);
  }, [id, shown, run, geometry, shape.width, shape.height, camera.turn, camera.flip]);
  const small = part && toMap(shape, part);
  const move = (event: React.PointerEvent): void => {
    if (!event.buttons || !canvas.current) return;
    event.stopPropagation();
    const { left, top } = canvas.current.getBoundingClientRect();
    moveCamera({ ...fromMap(shape, event.clientX - left, event.clientY - top), fitted: false });
  };
  return (
    <div
      className="minimap over"
      aria-hidden="true"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        move(event);
      }}
      onPointerMove={move}
    >
      <canvas ref={canvas} width={shape.width} height={shape.height} />
      <svg width={shape.width} height={shape.height}>
        {small && <rect x={small.x} y={small.y} width={small.width} height={small.height} />}
      </svg>
    </div>
  );
}

function toMap(shape: Shape, { x0, y0, x1, y1 }: { x0: number; y0: number; x1: number; y1: number }) {
  const [a, b, c, d, e, f] = matrixOf(shape.camera, shape);
  const xs = [a * x0 + c * y0 + e, a * x1 + c * y1 + e];
  const ys = [b * x0 + d * y0 + f, b * x1 + d * y1 + f];
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, width: Math.max(3, Math.max(...xs) - x), height: Math.max(3, Math.max(...ys) - y) };
}

function fromMap(shape: Shape, x: number, y: number): { x: number; y: number } {
  const [a, b, c, d, e, f] = matrixOf(shape.camera, shape);
  const inverse = 1 / (a * d - b * c);
  return { x: (d * (x - e) - c * (y - f)) * inverse, y: (a * (y - f) - b * (x - e)) * inverse };
}

function paintMap(canvas: HTMLCanvasElement, shape: Shape, geometry: Geometry, bitmap: ImageBitmap | null): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.setTransform(...matrixOf(shape.camera, shape));
  if (bitmap) context.drawImage(bitmap, 0, 0, geometry.width, geometry.height);
}

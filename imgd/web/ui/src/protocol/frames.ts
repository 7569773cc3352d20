// Binary frames of the websocket: a header of 32 bytes, then an encoded picture, tile or glance (docs/live.md, "Binary frames").

export const HEADER_BYTES = 32;
const VERSION = 1;
const KINDS = ["", "picture", "tile", "glance"] as const;
const TYPES = ["", "image/jpeg", "image/png", "image/webp", "image/avif"] as const;
const PICTURE_LEVEL = 255;
const LEVEL_MAX = 31;
const TILE_PX = 256;
const PICTURE_PX = 65_500;

export interface Frame {
  kind: "picture" | "tile" | "glance";
  type: string; // as "image/jpeg"
  level: number; // of a tile; -1 for the others
  runner: number;
  turn: number;
  column: number;
  row: number;
  width: number;
  height: number;
  body: Uint8Array<ArrayBuffer>;
}

/** Bytes that are no frame: of another version of the protocol, or broken. */
export class WrongFrame extends Error {}

/** Read a frame. Raises WrongFrame. */
export function readFrame(bytes: ArrayBuffer): Frame {
  if (bytes.byteLength < HEADER_BYTES) throw new WrongFrame(`a frame of ${bytes.byteLength} bytes has no header`);
  const view = new DataView(bytes);
  const version = view.getUint8(0);
  if (version !== VERSION) throw new WrongFrame(`a frame of version ${version}, which this page does not know`);
  const kind = KINDS[view.getUint8(1)];
  if (!kind) throw new WrongFrame(`a frame of kind ${view.getUint8(1)}, which this page does not know`);
  const type = TYPES[view.getUint8(2)];
  if (!type) throw new WrongFrame(`a picture of format ${view.getUint8(2)}, which this page does not know`);
  const frame: Frame = {
    kind,
    type,
    level: kind === "tile" ? view.getUint8(3) : -1,
    runner: view.getUint32(4, true),
    turn: view.getUint32(8, true),
    column: view.getUint32(12, true),
    row: view.getUint32(16, true),
    width: view.getUint32(20, true),
    height: view.getUint32(24, true),
    body: new Uint8Array(bytes, HEADER_BYTES),
  };
  check(frame, view.getUint8(3), view.getUint32(28, true));
  return frame;
}

function check(frame: Frame, level: number, length: number): void {
  const isTile = frame.kind === "tile";
  const most = isTile ? TILE_PX : PICTURE_PX;
  if (isTile ? level > LEVEL_MAX : level !== PICTURE_LEVEL) throw new WrongFrame(`a ${frame.kind} of level ${level}`);
  if (!isTile && (frame.column || frame.row)) throw new WrongFrame(`a ${frame.kind} has no column and row`);
  if (Math.min(frame.width, frame.height) < 1 || Math.max(frame.width, frame.height) > most)
    throw new WrongFrame(`a ${frame.kind} of ${frame.width} x ${frame.height} pixels`);
  if (length !== frame.body.byteLength)
    throw new WrongFrame(`a frame whose header says ${length} bytes has ${frame.body.byteLength}`);
}

import { describe, expect, test } from "vitest";
import { HEADER_BYTES, readFrame, WrongFrame } from "../../src/protocol/frames";
import { frameBytes } from "./fake_socket";

describe("binary frames", () => {
  test("each byte is in its place", () => {
    const bytes = new Uint8Array([
      1, 2, 2, 9, 4, 3, 2, 1, 8, 7, 6, 5, 1, 1, 0, 0, 2, 2, 0, 0, 0, 1, 0, 0, 17, 0, 0, 0, 3, 0, 0, 0, 0xaa, 0xbb, 0xcc,
    ]);
    const frame = readFrame(bytes.buffer);
    expect(frame).toMatchObject({
      kind: "tile", type: "image/png", level: 9, runner: 0x01020304, turn: 0x05060708, column: 257, row: 514, width: 256, height: 17,
    });
    expect([...frame.body]).toEqual([0xaa, 0xbb, 0xcc]);
  });

  test("numbers have no sign", () => {
    expect(readFrame(frameBytes({ runner: 0xffffffff, turn: 0xfffffffe }))).toMatchObject({ runner: 4294967295, turn: 4294967294 });
  });

  test("a picture has no place", () => {
    const picture = { kind: 1, level: 255, column: 0, row: 0, width: 65500, height: 1 };
    expect(readFrame(frameBytes(picture))).toMatchObject({ kind: "picture", level: -1, width: 65500 });
    expect(() => readFrame(frameBytes({ ...picture, column: 1 }))).toThrow(WrongFrame);
    expect(() => readFrame(frameBytes({ ...picture, level: 3 }))).toThrow(WrongFrame);
    expect(() => readFrame(frameBytes({ ...picture, width: 65501 }))).toThrow(WrongFrame);
  });

  test("a glance has no place either", () => {
    const glance = { kind: 3, level: 255, column: 0, row: 0, width: 700, height: 450 };
    expect(readFrame(frameBytes(glance))).toMatchObject({ kind: "glance", level: -1, turn: 1, width: 700, height: 450, body: { length: 6 } });
    for (const wrong of [{ column: 1 }, { row: 1 }, { level: 0 }, { width: 0 }, { height: 65501 }, { length: 5 }])
      expect(() => readFrame(frameBytes({ ...glance, ...wrong }))).toThrow(WrongFrame);
  });

  test.each([
    { version: 0 }, { version: 2 }, { kind: 0 }, { kind: 4 }, { kind: 3 }, { format: 0 }, { format: 5 }, { level: 32 }, { level: 255 }, { width: 0 },
    { height: 0 }, { width: 257 }, { height: 257 }, { length: 5 }, { length: 7 }, { length: 0xffffffff },
  ])("%o is refused", (fields) => {
    expect(() => readFrame(frameBytes(fields))).toThrow(WrongFrame);
  });

  test("whatever is cut short is refused", () => {
    const whole = frameBytes();
    for (let length = 0; length < whole.byteLength; length++) expect(() => readFrame(whole.slice(0, length))).toThrow(WrongFrame);
    expect(readFrame(frameBytes({ body: 0 })).body).toHaveLength(0);
    expect(HEADER_BYTES).toBe(32);
  });
});

import { describe, expect, it } from "vitest";
import { instrumentOf, readKept, rootOf, withLook } from "../../src/stretch/kept";

describe("kept looks", () => {
  it("are read from whatever storage holds", () => {
    expect(readKept(null)).toEqual([]);
    expect(readKept("{broken")).toEqual([]);
    expect(readKept('{"a":1}')).toEqual([]);
    expect(readKept('[1,null,{"instrument":"x"},{"instrument":"x","look":{"a":1}},{"instrument":"x","look":{"stretch":"log"}}]')).toEqual([
      { instrument: "x", look: { stretch: "log" } },
    ]);
  });

  it("take the place of the one before, without what is of one frame", () => {
    const kept = withLook([{ instrument: "a", look: {} }, { instrument: "b", look: {} }], "b", { stretch: "log", plane: "3", hdu: "1" });
    expect(kept).toEqual([{ instrument: "b", look: { stretch: "log" } }, { instrument: "a", look: {} }]);
  });

  it("are bounded", () => {
    const many = Array.from({ length: 60 }, (_, at) => ({ instrument: String(at), look: {} }));
    expect(withLook(many, "new", {})).toHaveLength(50);
  });

  it("are named by telescope and camera, or by the root", () => {
    expect(instrumentOf({ TELESCOP: "RC8", INSTRUME: "ASI2600 " })).toBe("RC8 · ASI2600");
    expect(instrumentOf({ CAMERA: "QHY" })).toBe("QHY");
    expect(instrumentOf({ OBJECT: "M 31" })).toBeNull();
    expect(rootOf("n%20ight/m31/a.fits")).toBe("root n ight");
    expect(rootOf("%ff/a.fits")).toBe("root %ff");
  });
});

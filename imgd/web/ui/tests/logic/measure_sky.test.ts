// Sky positions, grid lines, compass and scale bar, against values that astropy gives.
import { describe, expect, it } from "vitest";
import type { SkyAnswer, SkyGrid } from "../../src/measure/answers";
import { compassOf, lieOf, roundLength, scaleBar, type Chart } from "../../src/measure/compass";
import { gridLabels, overlap } from "../../src/measure/grid_labels";
import { gridLines, meshOf } from "../../src/measure/grid_lines";
import { labelText, latitudeStep, longitudeStep } from "../../src/measure/grid_steps";
import { worldAt } from "../../src/measure/sky";
import { angleText, readPosition, sexagesimal } from "../../src/measure/words";
import type { Camera } from "../../src/state/types";

type Vectors = [number, number, number][];

const TAN: SkyGrid = {
  step: 4096, xs: [0.5, 3008.5], ys: [0.5, 3008.5], accuracy_px: 8.8e-11,
  world: [[84.47309902926308, -6.038140973552629], [83.17090097073692, -6.038140973552629], [84.47171175545924, -4.743168435045229], [83.17228824454077, -4.743168435045229]],
  vectors: [[0.09577875474258, 0.98982897173303, -0.10519047893174], [0.11824856218621, 0.98739669874018, -0.10519047893174], [0.09600727148369, 0.99194005350124, -0.08268938312881], [0.11847707892733, 0.98950778050838, -0.08268938312881]],
};
/** 1000 x 1000 pixels of 2 arc seconds, turned by 20 degrees; the centre at RA 0.05, Dec 20, and at Dec 89.9. */
const ZERO = gridOf([
  [0.94065576747774, 0.00703465237139, 0.33928931721596], [0.94123791493694, 0.00247952683317, 0.33773516167531], [0.94179794004489, -0.00207565698252, 0.33617306818852],
  [0.93911012671151, 0.00537523497685, 0.34357426672677], [0.9396922629775, 0.00082003640539, 0.34202014332567], [0.94025231270132, -0.00373518144023, 0.34045798107758],
  [0.93754241360443, 0.00371569124568, 0.34785114105225], [0.93812452447589, -0.00083947329654, 0.34629708612904], [0.93868458617158, -0.00539461810823, 0.34473489202481],
]);
const POLE = gridOf([
  [-0.00043753523465, 0.00774436863177, 0.99996991620619], [0.00376101798619, 0.00532041810135, 0.99997877372219], [0.00795948281008, 0.00289634252268, 0.9999641282733],
  [-0.00286157497901, 0.00354590380538, 0.99998961892354], [0.00133699909611, 0.00112187544843, 0.99999847691329], [0.00553554174639, -0.00130217927709, 0.99998383092263],
  [-0.00528554746644, -0.00065264436204, 0.9999858184211], [-0.00108705121881, -0.00307669357306, 0.99999467612398], [0.00311147057829, -0.00550067047113, 0.99998003048821],
]);

function gridOf(vectors: Vectors): SkyGrid {
  return { step: 500, xs: [0.5, 500.5, 1000.5], ys: [0.5, 500.5, 1000.5], world: [], vectors, accuracy_px: 0.01 };
}

function skyOf(grid: SkyGrid, system = "equatorial"): SkyAnswer {
  const nowhere = { x: null, y: null, world: null, ra: null, dec: null, ra_text: null, dec_text: null };
  return { kind: "celestial", system, projection: "TAN", frame: "ICRS", axes: [{ name: "RA", unit: "deg" }, { name: "DEC", unit: "deg" }], scale: null, north: null, east: null, mirrored: null, centre: nowhere, position: null, grid, notes: [] };
}

const UP: Camera = { x: 500, y: 500, scale: 1, turn: 0, flip: false, fitted: false };
const chartOf = (camera: Partial<Camera> = {}, size = 1000): Chart => ({
  geometry: { width: size, height: size, topDown: false }, camera: { ...UP, x: size / 2, y: size / 2, ...camera }, stage: { width: 1000, height: 1000 },
});

function arcsecBetween(a: readonly number[], b: readonly number[]): number {
  const cos = Math.cos(((a[1] ?? 0) * Math.PI) / 180);
  const across = (((a[0] ?? 0) - (b[0] ?? 0) + 540) % 360) - 180;
  return Math.hypot(across * cos, (a[1] ?? 0) - (b[1] ?? 0)) * 3600;
}

describe("interpolation of the daemon's grid", () => {
  it.each([
    [10, 10, 84.46898235692923, -6.034056348225569],
    [1504.5, 1504.5, 83.822, -5.391],
    [2777.3, 431.8, 83.271152047998, -5.852578328374935],
    [1, 3008, 84.47149600939568, -4.7433838732765015],
  ])("is where astropy has %s, %s", (x, y, ra, dec) => {
    expect(arcsecBetween(worldAt({ grid: TAN }, { x, y }) ?? [], [ra, dec])).toBeLessThan(0.155); // A tenth of a pixel.
  });

  it.each([
    [ZERO, 123.4, 800.2, 0.1991146984908047, 20.228047883527168],
    [ZERO, 700, 333, 359.9730974019049, 19.87463284825177],
    [POLE, 123.4, 800.2, 172.4775935511668, 89.81029137567664],
    [POLE, 700, 333, 22.206863034666124, 89.76332852562115],
    [POLE, 501, 990, 250.9643520354477, 89.81871766286565],
  ])("has no seam at 0 and no trouble at the pole", (grid, x, y, ra, dec) => {
    expect(arcsecBetween(worldAt({ grid }, { x, y }) ?? [], [ra, dec])).toBeLessThan(0.2);
  });

  it("knows nothing outside the plane and where the projection has nothing", () => {
    expect(worldAt({ grid: TAN }, { x: 0, y: 5 })).toBeNull();
    expect(worldAt({ grid: { ...TAN, vectors: [null, ...(TAN.vectors ?? []).slice(1)] } }, { x: 5, y: 5 })).toBeNull();
  });

  it("takes the coordinates of linear axes as they are", () => {
    const grid = { ...TAN, vectors: null, world: [[0, 10], [3008, 10], [0, 3018], [3008, 3018]] as [number, number][] };
    expect(worldAt({ grid }, { x: 752.5, y: 1504.5 })).toEqual([752, 1514]);
  });
});

describe("grid lines", () => {
  const linesOf = (grid: SkyGrid, camera: Partial<Camera> = {}, size = 1000) => {
    const sky = skyOf(grid);
    const mesh = meshOf(chartOf(camera, size), sky);
    if (!mesh) throw new Error("no mesh");
    return { mesh, sky, lines: gridLines(mesh, sky) };
  };
  /** How far the ends of all pieces are from the line's own coordinate, arc seconds. */
  const worst = (grid: SkyGrid, lines: ReturnType<typeof gridLines>) =>
    Math.max(...lines.flatMap(({ axis, value, pieces }) =>
      pieces.flatMap((x, at) => {
        if (at % 2) return [];
        const world = worldAt({ grid }, { x: x + 0.5, y: 1000 - (pieces[at + 1] ?? 0) + 0.5 });
        if (!world || world[1] > 89.995) return []; // At the pole itself every meridian is right.
        return [axis === 1 ? arcsecBetween([0, world[1]], [0, value]) : arcsecBetween(world, [value, world[1]])];
      }),
    ));

  it("lie where their coordinate is, across RA 0", () => {
    const { lines } = linesOf(ZERO);
    const meridians = lines.filter(({ axis }) => axis === 0).map(({ value }) => value);
    expect(meridians).toContain(0);
    expect(meridians.some((value) => value > 359) && meridians.some((value) => value > 0 && value < 1)).toBe(true);
    expect(worst(ZERO, lines)).toBeLessThan(0.5); // A quarter of a pixel.
  });

  it("close around the pole, and meridians end there", () => {
    const { lines } = linesOf(POLE);
    expect(lines.filter(({ axis }) => axis === 0).length).toBeGreaterThanOrEqual(8);
    expect(worst(POLE, lines)).toBeLessThan(1.5);
    const pole = { x: 438.936 - 0.5, y: 1000 - (669.645 - 0.5) }; // By astropy.
    for (const { axis, pieces } of lines) {
      if (axis !== 0) continue;
      const away = pieces.map((x, at) => (at % 2 ? Infinity : Math.hypot(x - pole.x, (pieces[at + 1] ?? 0) - pole.y)));
      expect(Math.min(...away)).toBeLessThan(1);
    }
  });

  it("have labels at the edges that are not one over another", () => {
    const { mesh, lines } = linesOf(ZERO, { turn: 90, flip: true });
    const labels = gridLabels(mesh, lines, (text) => 7 * text.length, [{ x: 0, y: 900, width: 100, height: 100 }]);
    expect(labels.length).toBeGreaterThan(6);
    labels.forEach((label, at) => labels.slice(at + 1).forEach((other) => expect(overlap(label, other)).toBe(false)));
    for (const { x, y, width } of labels) expect(x >= 0 && y >= 0 && x + width <= 1000 && y <= 1000).toBe(true);
  });

  it("are of round steps, and say as much as tells them apart", () => {
    expect(longitudeStep(0.06, true) * 240).toBeCloseTo(15);
    expect(latitudeStep(0.06) * 60).toBeCloseTo(5);
    expect(latitudeStep(1e-5) * 3600).toBeCloseTo(0.05);
    const sky = skyOf(TAN);
    expect(labelText(sky, 0, 83.75, 60 / 240)).toBe("5h35m");
    expect(labelText(sky, 0, 83.8125, 15 / 240)).toBe("5h35m15s");
    expect(labelText(sky, 1, -5.5, 1 / 6)).toBe("−5°30′");
    expect(labelText(sky, 1, 0, 1)).toBe("0°");
    expect(labelText(sky, 1, 20, 1)).toBe("+20°");
    expect(labelText({ ...sky, kind: "linear", axes: [{ name: "WAVE", unit: "nm" }, { name: "", unit: "" }] }, 0, 656.3, 0.1)).toBe("WAVE 656.3 nm");
    expect(labelText(skyOf(TAN, "galactic"), 0, 209.5, 0.5)).toBe("209°30′");
  });
});

describe("compass", () => {
  const arrows = (camera: Partial<Camera>) => {
    const chart = chartOf({ scale: 0.3, ...camera }, 3008);
    const lie = lieOf(chart, TAN);
    const found = lie && compassOf(chart, lie);
    return found && [found.north.x, found.north.y, found.east.x, found.east.y].map((value) => Math.round(value * 100) / 100 + 0);
  };

  it("points as the view lies", () => {
    expect(arrows({})).toEqual([0, -1, -1, 0]); // North up, east left.
    expect(arrows({ flip: true })).toEqual([0, -1, 1, 0]);
    expect(arrows({ turn: 90 })).toEqual([1, 0, 0, -1]);
    expect(arrows({ turn: 180 })).toEqual([0, 1, 1, 0]);
    expect(arrows({ turn: 90, flip: true })).toEqual([1, 0, 0, 1]);
  });
});

describe("scale bar", () => {
  it("has round lengths", () => {
    expect(roundLength(1.55, 100, true)).toBe(120);
    expect(roundLength(0.004, 100, true)).toBeCloseTo(0.2);
    expect(roundLength(40, 150, true)).toBe(3600);
    expect(roundLength(0.5, 150, false)).toBe(50);
    expect([1, 30, 60, 600, 3600, 0.2].map(angleText)).toEqual(["1″", "30″", "1′", "10′", "1°", "0.2″"]);
  });

  it("is as long as the sky says, and in pixels without one", () => {
    const chart = chartOf({ scale: 2 }, 3008);
    const bar = scaleBar(chart, lieOf(chart, TAN), 160);
    expect(bar.text).toBe("2′");
    expect(bar.width).toBeCloseTo((120 / 1.55) * 2, 1);
    expect(scaleBar(chart, null, 160)).toEqual({ width: 100, text: "50 px" });
  });
});

describe("angles", () => {
  it("are rounded as a whole", () => {
    expect(sexagesimal(83.822, true)).toBe("05:35:17.280");
    expect(sexagesimal(-5.391, false)).toBe("-05:23:27.60");
    expect(sexagesimal(359.9999999, true)).toBe("00:00:00.000");
    expect(sexagesimal(89.999999, false)).toBe("+90:00:00.00");
    expect(sexagesimal(-0.001, false)).toBe("-00:00:03.60");
    expect(sexagesimal(14.9999999, true, 0)).toBe("01:00:00");
  });

  it("are read in the ways that people write them", () => {
    for (const text of ["05:35:17.28 -05:23:27.6", "5h35m17.28s, -5d23m27.6s", "05 35 17.28 −05 23 27.6", "83.822 -5.391", "5h35m17.28s -5°23′27.6″"]) {
      const [ra, dec] = readPosition(text) ?? [];
      expect(ra).toBeCloseTo(83.822, 6);
      expect(dec).toBeCloseTo(-5.391, 6);
    }
    expect(readPosition("-0:0:30 -0:0:30")).toEqual([359.875, -1 / 120]);
    expect(readPosition("209.5 -19.4", false)).toEqual([209.5, -19.4]);
    for (const text of ["", "M 42", "5:35", "1 2 3", "10 95", "5:75:00 1:0:0"]) expect(readPosition(text)).toBeNull();
  });
});

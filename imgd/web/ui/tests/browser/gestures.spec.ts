// Moving about by mouse, fingers and keys: where it goes, and that the picture is right there.
import { describe, expect, test } from "vitest";
import { BLOCKS, isRight, LOOK, sizeOf } from "./blocks";
import { cameraTold, Fingers, fitted, goesTo, looksWhere, near, seenAt, stageOf, type Camera, type Point, type Stage } from "./hands";
import { benchOfKnown, closes, opens, SIZES, until, type Size, type Watched } from "./rig";

const SKY = "known/sky.fits";
const PLANE: Point = [2000, 1500];

const stand = benchOfKnown();

async function opensAt(size: Size, hash: string, ref: string): Promise<{ watched: Watched; stage: Stage }> {
  const watched = await opens(stand.service, hash, size);
  await watched.shows(ref);
  return { watched, stage: await stageOf(watched) };
}

/** What of the picture is at a place of the stage, of a camera that is neither turned nor mirrored. */
function under({ x, y, scale }: Camera, stage: Stage, [sx, sy]: Point): Point {
  return [x + (sx - stage.width / 2) / scale, y + (sy - stage.height / 2) / scale];
}

/** The place of the picture is seen there, to a pixel. */
function isAt(camera: Camera, stage: Stage, place: Point, [x, y]: Point, by = 1.5): boolean {
  const seen = seenAt(camera, stage, place);
  return near(seen[0], x, by) && near(seen[1], y, by);
}

const onPage = (stage: Stage, [x, y]: Point): Point => [stage.left + x, stage.top + y];

describe.each(SIZES)("$name", (size) => {
  test("double click or tap: 100 % there; again: all of it", async () => {
    const { watched, stage } = await opensAt(size, `#frame=${SKY}`, SKY);
    const at: Point = [stage.width * 0.3, stage.height * 0.45];
    const place = under(fitted(PLANE, stage), stage, at);
    const doubles = async (): Promise<void> => {
      if (size.touch) await (await Fingers.of(watched)).tap(onPage(stage, at), 2);
      else await watched.page.mouse.dblclick(...onPage(stage, at));
    };
    await doubles();
    const camera = await looksWhere(watched, SKY, (now) => now !== null && near(now.scale, 1 / stage.dpr, 1e-4), "100 %");
    expect(camera && isAt(camera, stage, place, at), `${place.join()} is seen under the finger`).toBe(true);
    await watched.page.getByText("100 %", { exact: true }).waitFor();
    await watched.keeps("gestures-double");
    await doubles();
    await looksWhere(watched, SKY, (now) => now === null, "all of it");
    await closes(watched);
  });

  test.runIf(!size.touch)("the wheel zooms where the pointer is; a drag moves the picture with it", async () => {
    const { watched, stage } = await opensAt(size, `#frame=${BLOCKS}&${LOOK}`, BLOCKS);
    const at: Point = [stage.width * 0.7, stage.height * 0.3];
    const whole = fitted(sizeOf(stand.truth.blocks), stage);
    const place = under(whole, stage, at);
    await watched.page.mouse.move(...onPage(stage, at));
    for (let notch = 0; notch < 3; notch++) await watched.page.mouse.wheel(0, -120);
    const camera = await looksWhere(watched, BLOCKS, (now) => now !== null && now.scale > whole.scale * 1.5, "nearer");
    expect(camera && isAt(camera, stage, place, at), "what was under the pointer still is").toBe(true);
    await isRight(watched, stand.truth, camera!, stage, 4);
    await watched.keeps("gestures-wheel");
    const [left, up] = [-180, 110];
    await watched.page.mouse.move(...onPage(stage, [600, 400]));
    await watched.page.mouse.down();
    await watched.page.mouse.move(...onPage(stage, [600 + left, 400 + up]), { steps: 10 });
    await watched.page.mouse.up();
    const moved = await looksWhere(watched, BLOCKS, (now) => now !== null && near(now.x, camera!.x - left / camera!.scale, 2) && near(now.y, camera!.y - up / camera!.scale, 2), "moved");
    expect(moved!.scale).toBeCloseTo(camera!.scale, 4);
    await isRight(watched, stand.truth, moved!, stage, 4);
    await closes(watched);
  });

  test.runIf(size.touch)("two fingers zoom where they are; one moves the picture", async () => {
    const { watched, stage } = await opensAt(size, `#frame=${BLOCKS}&${LOOK}`, BLOCKS);
    const fingers = await Fingers.of(watched);
    const whole = fitted(sizeOf(stand.truth.blocks), stage);
    const at: Point = [stage.width * 0.6, stage.height * 0.5];
    const place = under(whole, stage, at);
    const pair = (apart: number): Point[] => [[at[0] - apart / 2, at[1]], [at[0] + apart / 2, at[1]]].map((each) => onPage(stage, [each[0]!, each[1]!]));
    await fingers.move(pair(60), pair(180), 16);
    const camera = await looksWhere(watched, BLOCKS, (now) => now !== null && near(now.scale / whole.scale, 3, 0.4), "three times as large");
    expect(camera && isAt(camera, stage, place, at, 12), `what was between the fingers (${place.join()}) still is, not ${under(camera!, stage, at).join()}`).toBe(true);
    await isRight(watched, stand.truth, camera!, stage, 3);
    await watched.keeps("gestures-pinch");
    await fingers.move(pair(180), pair(90), 16);
    const farther = await looksWhere(watched, BLOCKS, (now) => now !== null && near(now.scale / camera!.scale, 0.5, 0.1), "half as large");
    await fingers.move([onPage(stage, [200, 300])], [onPage(stage, [150, 340])], 30);
    const moved = await looksWhere(watched, BLOCKS, (now) => now !== null && now.x > farther!.x + 20 / farther!.scale && now.y < farther!.y - 20 / farther!.scale, "moved");
    await isRight(watched, stand.truth, moved!, stage, 3);
    await closes(watched);
  });

  test("keys zoom and move, and bring back all of it", async () => {
    const { watched, stage } = await opensAt(size, `#frame=${BLOCKS}&${LOOK}`, BLOCKS);
    const { keyboard } = watched.page;
    const whole = fitted(sizeOf(stand.truth.blocks), stage);
    await keyboard.press("+");
    await keyboard.press("+");
    const camera = await looksWhere(watched, BLOCKS, (now) => now !== null && near(now.scale, whole.scale * 2.25, 1e-3), "one and a half times, twice");
    expect(near(camera!.x, whole.x, 0.1) && near(camera!.y, whole.y, 0.1), "about the centre").toBe(true);
    await keyboard.press("Shift+ArrowRight");
    await keyboard.press("Shift+ArrowUp");
    const moved = await looksWhere(
      watched, BLOCKS,
      (now) => now !== null && near(now.x, camera!.x + (0.2 * stage.width) / camera!.scale, 0.5) && near(now.y, camera!.y - (0.2 * stage.height) / camera!.scale, 0.5),
      "a fifth of the stage to the right, and up",
    );
    await isRight(watched, stand.truth, moved!, stage, 3);
    await watched.keeps("gestures-keys");
    await keyboard.press("-");
    await looksWhere(watched, BLOCKS, (now) => now !== null && near(now.scale, whole.scale * 1.5, 1e-3), "smaller");
    await keyboard.press("0");
    await looksWhere(watched, BLOCKS, (now) => now === null, "all of it");
    await isRight(watched, stand.truth, whole, stage, 48);
    await closes(watched);
  });

  test("who goes elsewhere while it still moves is there, sharp", async () => {
    const { watched, stage } = await opensAt(size, `#frame=${SKY}`, SKY);
    const words = await watched.page.locator(".zoom").innerText();
    await watched.page.keyboard.press("2");
    await until(async () => (await watched.page.locator(".zoom").innerText()) !== words, "it moves");
    await goesTo(watched, `#frame=${SKY}&at=1500,300,${2 / stage.dpr}`);
    await watched.shows(SKY);
    const now = await looksWhere(watched, SKY, (camera) => camera !== null && camera.x === 1500 && camera.y === 300, "where the link says");
    expect(now?.scale).toBe(2 / stage.dpr);
    await watched.keeps("gestures-elsewhere");
    await closes(watched);
  });

  test("the small map shows the part that is seen, and goes where it is pressed", async () => {
    const { watched, stage } = await opensAt(size, `#frame=${SKY}&at=950,800,1`, SKY);
    const map = watched.page.locator(".minimap");
    const box = (await map.boundingBox())!;
    const part = (await map.locator("rect").boundingBox())!;
    const scale = box.width / PLANE[0];
    expect(part.x + part.width / 2 - box.x, "the centre of the part").toBeCloseTo(950 * scale, 0);
    expect(Math.abs(part.width - stage.width * scale)).toBeLessThan(3); // Its line is drawn around it.
    await watched.keeps("gestures-minimap");
    const to: Point = [box.x + box.width * 0.75, box.y + box.height * 0.25];
    if (size.touch) await (await Fingers.of(watched)).tap(to);
    else await watched.page.mouse.click(...to);
    await looksWhere(watched, SKY, (now) => now !== null && near(now.x, 1500, 25) && near(now.y, 375, 25) && now.scale === 1, "where the map was pressed");
    expect(cameraTold(watched)!.scale).toBe(1);
    await watched.page.keyboard.press("0");
    await until(async () => (await map.count()) === 0, "no map of what is seen whole");
    await closes(watched);
  });
});

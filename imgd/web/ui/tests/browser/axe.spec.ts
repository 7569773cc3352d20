// For everybody: axe finds nothing serious in any state of the page, and all of it can be reached and used by keyboard.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { told } from "./hands";
import { benchOfKnown, closes, opens, SIZES, until, type Watched } from "./rig";

const SKY = "known/sky.fits";
const AXE = readFileSync(new URL("../../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

interface Violation {
  id: string;
  impact: string;
  nodes: { html: string; failureSummary: string }[];
}

const stand = benchOfKnown();

/** Axe finds nothing serious in the page as it is now. */
async function isFitForAll(watched: Watched, state: string): Promise<void> {
  const violations = await watched.page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run: (what: Document, how: object) => Promise<{ violations: Violation[] }> } };
    return (await axe.run(document, { resultTypes: ["violations"] })).violations;
  });
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const words = grave.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`));
  expect(words, state).toEqual([]);
}

async function opensWithAxe(...[hash, size]: [string, (typeof SIZES)[number]]): Promise<Watched> {
  const watched = await opens(stand.service, hash, size);
  await watched.shows(SKY);
  await watched.page.evaluate(AXE);
  return watched;
}

/** Everything that can have the focus, and whether a reader is told what it is. */
async function controls(watched: Watched): Promise<{ words: string; named: boolean; tabbable: boolean }[]> {
  return await watched.page.evaluate(() => {
    const nameOf = (element: Element): string => {
      const labels = (element as HTMLInputElement).labels;
      const by = element.getAttribute("aria-labelledby")?.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
      return (by || element.getAttribute("aria-label") || (labels && [...labels].map((label) => label.textContent).join(" ")) || element.textContent || element.getAttribute("title") || "").trim();
    };
    const all = [...document.querySelectorAll<HTMLElement>("button, a[href], input, select, textarea, summary, [tabindex], [role=slider]")];
    return all
      .filter((element) => element.checkVisibility({ visibilityProperty: true }) && !(element as HTMLButtonElement).disabled && !element.closest("[inert]"))
      .filter((element) => element.tagName === "SUMMARY" || element.tabIndex >= 0 || element.matches("button, input, select"))
      .map((element) => ({ words: element.outerHTML.slice(0, 120), named: nameOf(element) !== "", tabbable: element.tabIndex >= 0 }));
  });
}

/** Walk the page by Tab; gives what had the focus, each once. */
async function walked(watched: Watched): Promise<string[]> {
  const { page } = watched;
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  const seen: string[] = [];
  for (let step = 0; step < 150; step++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      element.setAttribute("data-walked", "1");
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      const marked = (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || element.matches(".handle");
      return `${marked ? "" : "not to be seen: "}${element.outerHTML.slice(0, 100)}`;
    });
    if (at === null) break;
    seen.push(at);
  }
  return seen;
}

describe.each(SIZES)("$name", (size) => {
  test("the panels", async () => {
    const watched = await opensWithAxe(`#frame=${SKY}&panel=stretch`, size);
    const { page } = watched;
    for (const panel of ["Stretch", "Measure", "Header", "Follow", "Compare", "Run"]) {
      await page.getByRole("tab", { name: panel }).click();
      await page.getByRole("tab", { name: panel, selected: true }).waitFor();
      if (panel === "Header") await page.getByText("BITPIX").first().waitFor();
      await isFitForAll(watched, panel);
      await watched.keeps(`axe-${panel.toLowerCase()}`);
    }
    watched.expected.push(/status of 422/); // One of the folder's frames is broken: the trend has no figures of it.
    await closes(watched);
  });

  test("list, strip, search, help, what can be taken away, and a red night", async () => {
    const watched = await opensWithAxe(`#frame=${SKY}`, size);
    const { page } = watched;
    await isFitForAll(watched, "picture");
    await page.keyboard.press("y");
    await page.locator(".strip img").first().waitFor();
    await isFitForAll(watched, "strip");
    await watched.keeps("axe-strip");
    await page.keyboard.press("y");
    await page.keyboard.press("/");
    await page.getByRole("searchbox", { name: "Search frames" }).waitFor();
    await page.locator("aside.list button.frame").first().waitFor();
    await isFitForAll(watched, "list");
    await watched.keeps("axe-list");
    await page.keyboard.press("Escape");
    if (await page.locator("aside.list").count()) await page.getByRole("button", { name: "Close the list" }).click();
    await page.keyboard.press("?");
    await page.locator("dialog[open]").waitFor();
    await isFitForAll(watched, "help");
    await watched.keeps("axe-help");
    await page.keyboard.press("Escape");
    await page.locator("dialog[open]").waitFor({ state: "detached" }).catch(() => page.locator("dialog[open]").waitFor({ state: "hidden" }));
    await page.keyboard.press("Shift+S");
    await page.getByText(/curl/i).first().waitFor();
    await isFitForAll(watched, "take away");
    await watched.keeps("axe-take-away");
    await page.keyboard.press("Escape");
    await page.keyboard.press("n");
    await page.locator(".app.night").waitFor();
    await page.keyboard.press("s");
    await page.getByRole("slider", { name: "Black level" }).waitFor();
    await isFitForAll(watched, "night");
    await watched.keeps("axe-night");
    await closes(watched);
  });

  test("words about what is wrong", async () => {
    const watched = await opensWithAxe(`#frame=${SKY}`, size);
    await watched.page.evaluate(() => void (location.hash = "#frame=known/broken.fits"));
    await watched.page.getByRole("alert").filter({ hasText: /\S/ }).first().waitFor();
    await isFitForAll(watched, "a broken frame");
    await watched.keeps("axe-broken");
    watched.expected.push(/status of 422/);
    await closes(watched);
  });

  test("every control has a name and is reached by Tab, and what has the focus is seen", async () => {
    const watched = await opensWithAxe(`#frame=${SKY}&panel=stretch${size.touch ? "" : "&list=1"}&strip=1`, size);
    const { page } = watched;
    await page.getByRole("slider", { name: "Black level" }).waitFor();
    await page.locator(".strip img").first().waitFor();
    const all = await controls(watched);
    expect(all.length).toBeGreaterThan(30);
    expect(all.filter(({ named }) => !named).map(({ words }) => words), "without a name").toEqual([]);
    const stops = await walked(watched);
    expect(stops.length).toBeGreaterThan(30);
    expect(stops.filter((each) => each.startsWith("not to be seen")), "the focus is not to be seen").toEqual([]);
    // Of a list, a row of tabs, and the like, one is reached by Tab and the others by arrows.
    const missed = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>("button, a[href], input, select, textarea, summary, [role=slider]")]
        .filter((element) => element.checkVisibility({ visibilityProperty: true }) && !(element as HTMLButtonElement).disabled && !element.dataset.walked)
        .filter((element) => !(element.tabIndex < 0 && element.closest("ul, [role=tablist]")))
        .map((element) => element.outerHTML.slice(0, 160)),
    );
    expect(missed, "not reached by Tab").toEqual([]);
    await watched.keeps("axe-walked");
    await closes(watched);
  });

  test("by keyboard alone: find a frame, stretch it, look nearer, measure", async () => {
    const watched = await opensWithAxe(`#frame=${SKY}`, size);
    const { page } = watched;
    const { keyboard } = page;
    await keyboard.press("/");
    await until(async () => page.getByRole("searchbox", { name: "Search frames" }).evaluate((box) => box === document.activeElement), "the cursor is in the search box");
    await keyboard.type("ramp");
    await until(async () => (await page.locator("aside.list button.frame").count()) === 1, "one frame is found");
    await keyboard.press("ArrowDown");
    await keyboard.press("Enter");
    await watched.shows("known/ramp.fits");
    if (!size.touch) {
      await keyboard.press("Escape");
      await until(async () => (await page.locator("aside.list").count()) === 0, "the list is closed");
    }
    await keyboard.press("s");
    const black = page.getByRole("slider", { name: "Black level" });
    await black.waitFor();
    await until(async () => {
      if (await black.evaluate((handle) => handle === document.activeElement)) return true;
      await keyboard.press("Tab");
      return false;
    }, "the focus is on black");
    await keyboard.press("PageUp");
    await until(() => told(watched, "cut") !== "", "black is another");
    await keyboard.press("m");
    await page.getByRole("tab", { name: "Measure", selected: true }).waitFor();
    await keyboard.press("Escape");
    await until(async () => (await page.locator("aside.side").count()) === 0, "the panel is closed");
    await keyboard.press("1");
    await page.getByText("100 %", { exact: true }).waitFor();
    await watched.keeps("axe-keyboard");
    await closes(watched);
  });
});

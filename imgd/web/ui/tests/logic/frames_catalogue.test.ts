// The list as the daemon gives it: pages on demand, latest wins, live changes without a jump.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Catalogue } from "../../src/frames/catalogue";
import type { Answer } from "../../src/frames/known";
import { Refusal } from "../../src/protocol/http";
import type { FrameRow } from "../../src/state/types";

let names: number[] = [];
let urls: URL[] = [];
let aborted = 0;
let places = true;
let refuse: ((url: URL) => Refusal | null) | null = null;

function row(number: number): FrameRow {
  return { ref: `a/${number}`, name: String(number), root: "a", modified: null, size_bytes: 1, hdu: {} };
}

/** A daemon that answers after 10 ms. */
function ask(address: string, signal: AbortSignal): Promise<Answer> {
  const url = new URL(address);
  urls.push(url);
  return new Promise((done, fail) => {
    const timer = setTimeout(() => {
      const wrong = refuse?.(url);
      if (wrong) return fail(wrong);
      const offset = Number(url.searchParams.get("offset"));
      const at = url.searchParams.get("at");
      const rows = names.slice(offset, offset + Number(url.searchParams.get("limit"))).map(row);
      const place = places ? { at: at === null ? null : names.indexOf(Number(at.slice(2))) } : {};
      done({ total: names.length, offset, rows, described: names.length, complete: true, down: null, ...place });
    }, 10);
    signal.addEventListener("abort", () => {
      aborted++;
      clearTimeout(timer);
      fail(new DOMException("", "AbortError"));
    });
  });
}

async function made(): Promise<Catalogue> {
  const catalogue = new Catalogue(ask);
  catalogue.retry();
  await vi.advanceTimersByTimeAsync(100);
  return catalogue;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("document", { baseURI: "http://daemon/prefix/" });
  names = Array.from({ length: 5000 }, (_, at) => 5000 - at);
  urls = [];
  aborted = 0;
  places = true;
  refuse = null;
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("catalogue", () => {
  it("fetches the pages that are wanted, once", async () => {
    const catalogue = await made();
    expect(catalogue.known()).toMatchObject({ total: 5000, generation: 1, moved: null });
    catalogue.want("list", { first: 190, last: 210, anchor: 190, pinned: false });
    await vi.advanceTimersByTimeAsync(500);
    expect(urls.map((url) => url.searchParams.get("offset"))).toEqual(["0", "100"]);
    expect(catalogue.row(205)?.ref).toBe("a/4795");
    catalogue.want("list", { first: 150, last: 220, anchor: 150, pinned: false });
    await vi.advanceTimersByTimeAsync(500);
    expect(urls).toHaveLength(2);
  });

  it("leaves the rows where they are while a hand is on them", async () => {
    const catalogue = await made();
    catalogue.want("list", { first: 0, last: 10, anchor: 0, pinned: true });
    const [one, other] = [catalogue.hold(), catalogue.hold()];
    names.unshift(5001);
    catalogue.news();
    await vi.advanceTimersByTimeAsync(2000);
    one();
    one(); // Twice, by who lost count: the other hand is there still.
    await vi.advanceTimersByTimeAsync(100);
    expect([catalogue.row(0)?.ref, catalogue.known().total]).toEqual(["a/5000", 5000]);
    other();
    await vi.advanceTimersByTimeAsync(0);
    expect([catalogue.row(0)?.ref, catalogue.known().total]).toEqual(["a/5001", 5001]);
    catalogue.hold();
    catalogue.choose({ search: "x" });
    await vi.advanceTimersByTimeAsync(4000);
    expect(catalogue.known()).toMatchObject({ busy: true, shown: { search: "" } });
    await vi.advanceTimersByTimeAsync(2000); // A hand that nobody saw leaving does not keep them for ever.
    expect(catalogue.known()).toMatchObject({ busy: false, shown: { search: "x" } });
  });

  it("says what is wrong when no hand is on the rows", async () => {
    const catalogue = await made();
    const letGo = catalogue.hold();
    refuse = () => new Refusal({ status: 503, title: "down", text: "" }, 0);
    catalogue.retry();
    await vi.advanceTimersByTimeAsync(100);
    expect(catalogue.known().trouble).toBeNull();
    letGo();
    await vi.advanceTimersByTimeAsync(0);
    expect(catalogue.known().trouble).toMatchObject({ status: 503 });
  });

  it("gives up what was scrolled past: the last one wins", async () => {
    const catalogue = await made();
    for (let first = 1000; first <= 4000; first += 500) {
      catalogue.want("list", { first, last: first + 10, anchor: first, pinned: false });
      await vi.advanceTimersByTimeAsync(5);
    }
    await vi.advanceTimersByTimeAsync(500);
    expect(catalogue.row(4005)?.ref).toBe("a/995");
    expect(urls.length).toBeLessThan(5);
    expect(aborted).toBeGreaterThan(0);
  });

  it("tells how far rows have moved when frames come, and keeps what is looked at", async () => {
    const catalogue = await made();
    catalogue.want("list", { first: 380, last: 420, anchor: 400, pinned: false });
    await vi.advanceTimersByTimeAsync(500);
    names = [5002, 5001, ...names];
    catalogue.news();
    await vi.advanceTimersByTimeAsync(100);
    expect(catalogue.known()).toMatchObject({ moved: 2, generation: 2, total: 5002 });
    expect(catalogue.row(402)?.ref).toBe("a/4600");
    expect(catalogue.indexOf("a/4600")).toBe(402);
  });

  it("looks no oftener than can be seen, and once more after the last news", async () => {
    const catalogue = await made();
    urls = [];
    for (let n = 0; n < 100; n++) {
      catalogue.news();
      await vi.advanceTimersByTimeAsync(10);
    }
    await vi.advanceTimersByTimeAsync(5000);
    expect(urls.length).toBeGreaterThanOrEqual(2);
    expect(urls.length).toBeLessThanOrEqual(5);
  });

  it("keeps the old rows until those of another search are there, and says what is wrong with it", async () => {
    const catalogue = await made();
    catalogue.choose({ search: "EXPTIME>" });
    expect(catalogue.row(0)?.ref).toBe("a/5000");
    refuse = (url) => (url.searchParams.get("search") === "EXPTIME>" ? new Refusal({ status: 400, title: "Bad request", text: "no number" }) : null);
    await vi.advanceTimersByTimeAsync(100);
    expect(catalogue.known()).toMatchObject({ busy: false, trouble: { status: 400, text: "no number" } });
    expect(catalogue.row(0)?.ref).toBe("a/5000");
    names = [7];
    catalogue.choose({ search: "EXPTIME>6" });
    await vi.advanceTimersByTimeAsync(100);
    expect(catalogue.known()).toMatchObject({ trouble: null, total: 1, moved: null });
  });

  it("asks again by itself when it was told when", async () => {
    refuse = () => new Refusal({ status: 503, title: "Busy", text: "" }, 2);
    const catalogue = await made();
    expect(catalogue.known().trouble?.status).toBe(503);
    refuse = null;
    await vi.advanceTimersByTimeAsync(2100);
    expect(catalogue.known()).toMatchObject({ trouble: null, total: 5000 });
  });

  it("finds the place of a frame", async () => {
    const catalogue = await made();
    const signal = new AbortController().signal;
    const found = catalogue.place("a/17", signal);
    await vi.advanceTimersByTimeAsync(100);
    expect(await found).toBe(4983);
  });

  it("does without places where the daemon does not tell them", async () => {
    places = false;
    const catalogue = await made();
    urls = [];
    expect(await catalogue.place("a/16", new AbortController().signal)).toBeUndefined();
    catalogue.want("list", { first: 380, last: 420, anchor: 400, pinned: false });
    await vi.advanceTimersByTimeAsync(500);
    names = [5001, ...names];
    catalogue.news();
    await vi.advanceTimersByTimeAsync(100);
    expect(catalogue.known().moved).toBe(1);
    expect(urls.some((url) => url.searchParams.has("at"))).toBe(false);
  });

  it("passes the names of folders and frames on as they are", async () => {
    const catalogue = await made();
    catalogue.choose({ dir: "a/%FFx%20y" });
    expect(urls.at(-1)?.href).toContain("/prefix/catalogue?");
    expect(urls.at(-1)?.href).toContain("dir=a/%FFx%20y");
    await vi.advanceTimersByTimeAsync(100);
    void catalogue.place("a/%FF+.fits", new AbortController().signal);
    expect(urls.at(-1)?.href).toContain("&at=a/%FF+.fits");
  });
});

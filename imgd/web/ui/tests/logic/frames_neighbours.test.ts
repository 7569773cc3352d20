// Next and previous: in the list's order, over the edges of pages, of frames that the list does not hold.
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Answer } from "../../src/frames/known";

const daemon = vi.hoisted(() => ({ names: [] as string[] }));

vi.mock("../../src/protocol/http", async (original) => ({
  ...(await original<typeof import("../../src/protocol/http")>()),
  getJson: async (address: string): Promise<Answer> => {
    const { searchParams } = new URL(address);
    const offset = Number(searchParams.get("offset"));
    const rows = daemon.names.slice(offset, offset + Number(searchParams.get("limit"))).map((ref) => ({ ref, name: ref, root: "a", modified: null, size_bytes: 1, hdu: {} }));
    const at = searchParams.get("at");
    const place = { at: at !== null && daemon.names.includes(at) ? daemon.names.indexOf(at) : null };
    return { total: daemon.names.length, offset, rows, described: 0, complete: true, down: null, ...place };
  },
}));
vi.stubGlobal("document", { baseURI: "http://daemon/" });

const { activePane, openFrame, useStore } = await import("../../src/state/store");
const { frames } = await import("../../src/frames/frames");
const { nextFrame, previousFrame, startNeighbours } = await import("../../src/frames/neighbours");

function shown(): string | null {
  return activePane(useStore.getState()).ref;
}

async function settled(): Promise<void> {
  await new Promise((done) => setTimeout(done, 150));
}

startNeighbours();

beforeEach(async () => {
  daemon.names = Array.from({ length: 1000 }, (_, at) => `a/${at}`);
  frames.choose({ order: "newest" });
  await settled();
});

describe("neighbours", () => {
  it("are those beside the shown frame", async () => {
    openFrame("a/5");
    await settled();
    expect(useStore.getState().neighbours).toMatchObject({ previous: { ref: "a/4" }, next: { ref: "a/6" } });
    nextFrame();
    nextFrame();
    expect(shown()).toBe("a/7");
    previousFrame();
    expect(shown()).toBe("a/6");
  });

  it("are found for a frame that a link has opened", async () => {
    openFrame("a/700");
    await settled();
    expect(useStore.getState().neighbours).toMatchObject({ previous: { ref: "a/699" }, next: { ref: "a/701" } });
  });

  it("wait for the page that is on its way", async () => {
    openFrame("a/300");
    nextFrame();
    await settled();
    expect(shown()).toBe("a/301");
  });

  it("end where the list ends, and say so", async () => {
    openFrame("a/0");
    await settled();
    expect(useStore.getState().neighbours.previous).toBeNull();
    previousFrame();
    expect(shown()).toBe("a/0");
    expect(useStore.getState().notices.at(-1)?.text).toContain("first frame");
  });

  it("follow what comes and goes", async () => {
    openFrame("a/5");
    await settled();
    daemon.names.splice(6, 0, "a/new");
    frames.retry();
    await settled();
    expect(useStore.getState().neighbours.next?.ref).toBe("a/new");
  });

  it("begin at the first one where the list does not hold the frame", async () => {
    openFrame("b/elsewhere");
    await settled();
    expect(useStore.getState().neighbours).toMatchObject({ previous: null, next: { ref: "a/0" } });
  });
});

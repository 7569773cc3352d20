// The address line holds the whole state: what is seen can be sent to somebody, reloaded, and gone back to.
import { FITTED, newPane, useStore, type State } from "./store";
import type { Camera, Layout, Look, Overlays, Pane, Panel, Shape, Tool } from "./types";

/** What a link holds of the store. */
export type Linked = Pick<
  State,
  "panes" | "active" | "layout" | "camera" | "tool" | "shape" | "overlays" | "panel" | "listOpen" | "stripOpen" | "linkLooks"
>;

export const OVERLAYS: Overlays = { stars: false, grid: false, compass: false, scalebar: true, minimap: true, magnifier: false };
const LAYOUTS: readonly Layout[] = ["one", "side", "blink"];
const TOOLS: readonly Tool[] = ["pan", "line", "rect", "circle"];
const PANELS: readonly Panel[] = ["stretch", "measure", "header", "run", "follow", "compare"];
/** Names that are the page's own; all others are parameters of the look, as /img has them. */
const OWN = new Set(["frame", "follow", "paused", "pane", "active", "layout", "at", "turned", "mirrored", "tool", "shape", "show", "hide", "panel", "list", "strip", "unlinked"]);
const PANES_MAX = 8;
const WRITE_AFTER_MS = 250;
const FAR = 1e7; // No plane has as many pixels across.

// ---- there

export function linkOf(state: Linked): string {
  const [first, ...others] = state.panes;
  const parts: string[] = first ? paneParts(first) : [];
  for (const pane of others) parts.push(`pane=${encodeURIComponent(paneParts(pane).join("&"))}`);
  const active = state.panes.findIndex((pane) => pane.id === state.active);
  if (active > 0 && state.layout !== "blink") parts.push(`active=${active}`);
  if (state.layout !== "one") parts.push(`layout=${state.layout}`);
  if (!state.linkLooks) parts.push("unlinked=1");
  parts.push(...cameraParts(state.camera));
  if (state.tool !== "pan") parts.push(`tool=${state.tool}`);
  if (state.shape) parts.push(`shape=${shapeText(state.shape)}`);
  const names = Object.keys(OVERLAYS) as (keyof Overlays)[];
  const [shown, hidden] = [true, false].map((on) => names.filter((name) => state.overlays[name] === on && OVERLAYS[name] !== on));
  if (shown?.length) parts.push(`show=${shown.join(",")}`);
  if (hidden?.length) parts.push(`hide=${hidden.join(",")}`);
  if (state.panel) parts.push(`panel=${state.panel}`);
  if (state.listOpen) parts.push("list=1");
  if (state.stripOpen) parts.push("strip=1");
  return parts.length ? `#${parts.join("&")}` : "";
}

function paneParts(pane: Pane): string[] {
  const parts: string[] = [];
  if (pane.following) {
    parts.push(`follow=${pane.following.dir}`);
    if (pane.following.paused) parts.push("paused=1", ...(pane.ref === null ? [] : [`frame=${pane.ref}`]));
  } else if (pane.ref !== null) parts.push(`frame=${pane.ref}`);
  for (const [name, value] of Object.entries(pane.look)) {
    if (!OWN.has(name)) parts.push(`${name}=${encodeURIComponent(value).replaceAll("%2C", ",")}`);
  }
  return parts;
}

function cameraParts(camera: Camera): string[] {
  const parts: string[] = [];
  if (!camera.fitted) parts.push(`at=${[camera.x, camera.y, camera.scale].map((each) => Number(each.toPrecision(7))).join(",")}`);
  if (camera.turn) parts.push(`turned=${camera.turn}`);
  if (camera.flip) parts.push("mirrored=1");
  return parts;
}

function shapeText(shape: Shape): string {
  const numbers =
    shape.kind === "line" ? [shape.x1, shape.y1, shape.x2, shape.y2]
    : shape.kind === "rect" ? [shape.x, shape.y, shape.width, shape.height]
    : [shape.x, shape.y, shape.radius];
  return [shape.kind, ...numbers.map((each) => Number(each.toFixed(2)))].join(",");
}

// ---- and back

/** What a link says; what it says wrongly is left out, never an error: links come from anywhere. */
export function stateOf(hash: string): Linked {
  const pairs = pairsOf(hash.replace(/^#/, ""));
  const one = (name: string): string | undefined => pairs.find(([each]) => each === name)?.[1];
  const others = pairs.filter(([name]) => name === "pane").slice(0, PANES_MAX - 1).map(([, text]) => pairsOf(decoded(text)));
  const panes = [pairs, ...others].map((each, index) => paneOfPairs(each, index + 1));
  const active = panes[Number(one("active") ?? 0)] ?? panes[0]!;
  const shown = (one("show") ?? "").split(",");
  const hidden = (one("hide") ?? "").split(",");
  const overlays = { ...OVERLAYS };
  for (const name of Object.keys(OVERLAYS) as (keyof Overlays)[]) {
    if (shown.includes(name)) overlays[name] = true;
    if (hidden.includes(name)) overlays[name] = false;
  }
  return {
    panes,
    active: active.id,
    layout: panes.length > 1 ? oneOf(LAYOUTS, one("layout"), "one") : "one",
    linkLooks: one("unlinked") !== "1",
    camera: cameraOf(one("at"), one("turned"), one("mirrored")),
    tool: oneOf(TOOLS, one("tool"), "pan"),
    shape: shapeOf(one("shape")),
    overlays,
    panel: one("panel") === undefined ? null : oneOf<Panel | "">(PANELS, one("panel"), "") || null,
    listOpen: one("list") === "1",
    stripOpen: one("strip") === "1",
  };
}

function pairsOf(text: string): [string, string][] {
  return text.split("&").filter(Boolean).map((part) => {
    const at = part.indexOf("=");
    return at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
  });
}

function paneOfPairs(pairs: [string, string][], id: number): Pane {
  const look: Record<string, string> = {};
  const pane = newPane(id);
  for (const [name, value] of pairs) {
    if (name === "frame") pane.ref = asRef(value);
    else if (name === "follow") pane.following = { dir: asRef(value), paused: pairs.some(([each, on]) => each === "paused" && on === "1"), pending: null, skipped: 0 };
    else if (!OWN.has(name) && /^[a-z_]{1,20}$/.test(name)) look[name] = decoded(value);
  }
  return { ...pane, look: look as Look };
}

/** A name as it stands in queries: whoever typed it may have left out what has to be encoded. */
function asRef(text: string): string {
  return text.replace(/[^A-Za-z0-9\-._~/%]/gu, (letter) => encodeURIComponent(letter)).replace(/%(?![0-9A-Fa-f]{2})/g, "%25");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function oneOf<T extends string>(all: readonly T[], text: string | undefined, otherwise: T): T {
  return all.find((each) => each === text) ?? otherwise;
}

function numbersOf(text: string | undefined): number[] {
  return (text ?? "").split(",").map(Number);
}

function cameraOf(at: string | undefined, turned: string | undefined, mirrored: string | undefined): Camera {
  const [x, y, scale] = numbersOf(at);
  const turn = ([0, 90, 180, 270] as const).find((each) => each === Number(turned)) ?? 0;
  const camera = { ...FITTED, turn, flip: mirrored === "1" };
  const known = [x, y, scale].every(Number.isFinite) && Math.abs(x!) <= FAR && Math.abs(y!) <= FAR && scale! >= 1 / FAR && scale! <= FAR;
  return at === undefined || !known ? camera : { ...camera, x: x!, y: y!, scale: scale!, fitted: false };
}

function shapeOf(text: string | undefined): Shape | null {
  const [kind, ...rest] = (text ?? "").split(",");
  const [a, b, c, d] = rest.map(Number);
  const has = (count: number): boolean => rest.length === count && rest.every((each) => each !== "" && Number.isFinite(Number(each)));
  if (kind === "line" && has(4)) return { kind, x1: a!, y1: b!, x2: c!, y2: d! };
  if (kind === "rect" && has(4)) return { kind, x: a!, y: b!, width: c!, height: d! };
  if (kind === "circle" && has(3)) return { kind, x: a!, y: b!, radius: c! };
  return null;
}

// ---- the address line

/** Read the address line now and whenever somebody goes back or changes it; write it when the state has rested. */
export function startDeepLinks(): void {
  let subject = "";
  const read = (): void => {
    const state = stateOf(location.hash);
    useStore.setState({ ...state, placed: !state.camera.fitted && seenIn(state) !== seenIn(useStore.getState()) });
    subject = subjectOf(useStore.getState()); // What is changed there at once is still that place.
  };
  read();
  addEventListener("popstate", read);
  let waiting: ReturnType<typeof setTimeout> | undefined;
  const write = (): void => {
    waiting = undefined;
    const state = useStore.getState();
    const link = linkOf(state);
    if (link === location.hash) {
      subject = subjectOf(state); // Gone back to: what is changed there is still that place.
      return;
    }
    // Another frame is a place to come back to; all else is the same place, seen differently.
    const how = subjectOf(state) !== subject && subject !== "" ? "pushState" : "replaceState";
    subject = subjectOf(state);
    history[how](null, "", link || location.pathname + location.search);
  };
  useStore.subscribe(linkOf, () => {
    clearTimeout(waiting);
    waiting = setTimeout(write, WRITE_AFTER_MS);
  });
  addEventListener("pagehide", write);
}

function subjectOf(state: Linked): string {
  return state.panes.map((pane) => pane.following?.dir ?? pane.ref ?? "").join(" ").trim();
}

/** What the active pane shows. */
function seenIn({ panes, active }: Linked): string {
  return panes.filter(({ id }) => id === active).flatMap(paneParts).join("&");
}

/** The whole address of what is seen now. */
export function deepLink(): string {
  return new URL(linkOf(useStore.getState()) || "#", location.href).href;
}

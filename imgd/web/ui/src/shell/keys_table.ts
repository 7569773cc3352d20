// Every key of the page, in one table: the keyboard, the titles of buttons and the help read it.
import { nextFrame, previousFrame } from "../frames/neighbours";
import { fit, flip, oneToOne, panBy, turnBy, zoomBy } from "../picture/moves";
import { useStore } from "../state/store";
import {
  blinkOrNot, chooseTool, closeOne, cycleStretch, findLevels, fullScreen, playOrPause, resetLook, search, stepOn, toggleHelp,
  toggleInvert, toggleList, toggleNight, toggleOverlay, togglePanel, toggleStrip,
} from "./actions";
import { copyLink, copyValues, openTakeAway } from "./taking";

export type Group = "Frames" | "View" | "Stretch" | "Overlays" | "Tools" | "Follow and blink" | "Panels" | "Page";

export interface Key {
  /** As `nameOfKey` has them; the first is shown on buttons. */
  keys: readonly string[];
  words: string;
  group: Group;
  run: () => void;
}

const key = (group: Group, keys: string, words: string, run: () => void): Key => ({ group, keys: keys.split(" "), words, run });

export const KEYS = {
  previous: key("Frames", "ArrowLeft k", "Previous frame", previousFrame),
  next: key("Frames", "ArrowRight j", "Next frame", nextFrame),
  search: key("Frames", "/", "Search the frames", search),
  list: key("Frames", "d", "List of frames", toggleList),
  strip: key("Frames", "y", "Strip of thumbnails", toggleStrip),

  zoomIn: key("View", "+ =", "Zoom in", () => zoomBy(1.5)),
  zoomOut: key("View", "- _", "Zoom out", () => zoomBy(1 / 1.5)),
  fit: key("View", "0", "Fit the whole picture", fit),
  one: key("View", "1", "1:1, one pixel on one of the screen", () => oneToOne()),
  two: key("View", "2", "2:1, each pixel as a square of two", () => oneToOne(2)),
  panLeft: key("View", "Shift+ArrowLeft", "Look further left", () => panBy(-0.2, 0)),
  panRight: key("View", "Shift+ArrowRight", "Look further right", () => panBy(0.2, 0)),
  panUp: key("View", "Shift+ArrowUp", "Look further up", () => panBy(0, -0.2)),
  panDown: key("View", "Shift+ArrowDown", "Look further down", () => panBy(0, 0.2)),
  turn: key("View", "r", "Turn by a quarter, clockwise", () => turnBy(90)),
  turnBack: key("View", "Shift+R", "Turn by a quarter, anticlockwise", () => turnBy(-90)),
  flip: key("View", "x", "Flip left and right", flip),

  auto: key("Stretch", "a", "Find black and white anew", () => findLevels("auto")),
  zscale: key("Stretch", "z", "Levels by zscale", () => findLevels("zscale")),
  cycle: key("Stretch", "l", "Next kind of stretch", cycleStretch),
  invert: key("Stretch", "i", "Invert", toggleInvert),
  reset: key("Stretch", "Shift+A", "Reset the whole look", resetLook),

  stars: key("Overlays", "w", "Stars with their sizes", () => toggleOverlay("stars")),
  grid: key("Overlays", "g", "Grid of the sky", () => toggleOverlay("grid")),
  compass: key("Overlays", "e", "Compass", () => toggleOverlay("compass")),
  scalebar: key("Overlays", "u", "Scale bar", () => toggleOverlay("scalebar")),
  minimap: key("Overlays", "v", "Small map of the whole", () => toggleOverlay("minimap")),
  magnifier: key("Overlays", "o", "Magnifier", () => toggleOverlay("magnifier")),

  pan: key("Tools", "6", "Move the picture", () => useStore.setState({ tool: "pan" })),
  line: key("Tools", "7", "Draw a line: its profile", () => chooseTool("line")),
  rect: key("Tools", "8", "Draw a rectangle: its statistics", () => chooseTool("rect")),
  circle: key("Tools", "9", "Draw a circle: its statistics", () => chooseTool("circle")),
  copyValues: key("Tools", "Shift+C", "Copy the values under the cursor", copyValues),

  play: key("Follow and blink", "Space", "Play or pause", playOrPause),
  step: key("Follow and blink", ".", "One step: the newest frame, or the next one that blinks", stepOn),
  blink: key("Follow and blink", "b", "Blink the open frames", blinkOrNot),

  stretchPanel: key("Panels", "s", "Stretch: histogram, levels, colours", () => togglePanel("stretch")),
  measurePanel: key("Panels", "m", "Measure: profile, statistics, stars", () => togglePanel("measure")),
  headerPanel: key("Panels", "h", "Header of the frame", () => togglePanel("header")),
  followPanel: key("Panels", "f", "Follow a folder, and its trend", () => togglePanel("follow")),
  comparePanel: key("Panels", "c", "Compare frames", () => togglePanel("compare")),
  runPanel: key("Panels", "t", "Run: steps, their times, console", () => togglePanel("run")),

  takeAway: key("Page", "Shift+S", "Take away: save, export, copy", openTakeAway),
  copyLink: key("Page", "Shift+L", "Copy the link to this view", copyLink),
  night: key("Page", "n", "Red night mode", toggleNight),
  full: key("Page", "Shift+F", "Full screen", fullScreen),
  help: key("Page", "?", "Help", toggleHelp),
  close: key("Page", "Escape", "Close what is open, one thing at a time", closeOne),
} as const satisfies Record<string, Key>;

export type KeyName = keyof typeof KEYS;

const SHOWN: Readonly<Record<string, string>> = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", "-": "−",
};

/** A key as people read it. */
export function shownKey(name: string): string {
  const shift = name.startsWith("Shift+");
  const bare = shift ? name.slice(6) : name;
  return (shift ? "Shift + " : "") + (SHOWN[bare] ?? bare);
}

/** What a button says when it is pointed at: what it does, and by which key. */
export function titleOf(name: KeyName): string {
  const { words, keys } = KEYS[name];
  return `${words} (${shownKey(keys[0] ?? "")})`;
}

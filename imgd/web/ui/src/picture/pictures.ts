// All pictures: one for each pane of the store, made and ended with it.
import { useStore } from "../state/store";
import { Picture } from "./picture";
import type { Link, Runner } from "../protocol/link";
import type { Pane } from "../state/types";

const pictures = new Map<number, Picture>();

/** Have the pictures of all panes made, whatever the store asks for, for as long as the page is. */
export function startPictures(link: Link): void {
  const take = (panes: readonly Pane[]): void => {
    for (const [id, picture] of pictures) {
      if (panes.some((pane) => pane.id === id)) continue;
      pictures.delete(id);
      picture.close();
    }
    for (const { id } of panes) if (!pictures.has(id)) pictures.set(id, new Picture(id, link));
    for (const pane of panes) pictures.get(pane.id)?.take(pane);
  };
  useStore.subscribe((state) => state.panes, take);
  useStore.subscribe((state) => [state.camera, state.stage, state.layout, state.active] as const, () => moved(), { equalityFn: sameAll });
  take(useStore.getState().panes);
  document.addEventListener("visibilitychange", () => !document.hidden && moved());
  addEventListener("pagehide", () => pictures.forEach((picture) => picture.end()));
  addEventListener("pageshow", (event) => event.persisted && take(useStore.getState().panes));
  watchPixelRatio();
}

let inFrame = false;

/** Whatever moves the camera in there is painted in the frame that is being made. */
export function withinFrame(move: () => void): void {
  inFrame = true;
  try {
    move();
  } finally {
    inFrame = false;
  }
}

/** What is looked at is not where the tiles were asked for. */
export function lookAnew(): void {
  moved();
}

function moved(): void {
  for (const picture of pictures.values()) picture.moved(inFrame);
}

function sameAll(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.every((each, index) => each === b[index]);
}

/** The window may be moved to a screen of other pixels, and the page's own zoom changes them. */
function watchPixelRatio(): void {
  matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", () => {
    moved();
    watchPixelRatio();
  }, { once: true });
}

/** The picture of a pane. */
export function pictureOf(pane: number): Picture | null {
  return pictures.get(pane) ?? null;
}

/** The open runner of a pane; null if there is none. */
export function runnerOf(pane: number): Runner | null {
  return pictures.get(pane)?.runner ?? null;
}

/** The canvas on which a pane's picture is painted, in device pixels. */
export function canvasOf(pane: number): HTMLCanvasElement | null {
  return pictures.get(pane)?.screen.canvas ?? null;
}

// The hand on one pane: OpenSeadragon reads drags, wheels and pinches and has the springs; the store's camera follows
// the pane that is moved, and the other panes follow the store.
import OpenSeadragon from "openseadragon";
import { moveCamera, useStore } from "../state/store";
import { aim, setAim } from "./aim";
import { fromStage, resolved } from "./geometry";
import { lookAnew, withinFrame } from "./pictures";
import { degreesOf, doubled, held, panned, same, toCamera, toViewport, turned } from "./steering";
import type { Move } from "./moves";
import type { Point } from "./geometry";
import type { Camera, Geometry } from "../state/types";

const GESTURES = {
  dragToPan: true, scrollToZoom: true, pinchToZoom: true, clickToZoom: false, dblClickToZoom: false, dblClickDragToZoom: false,
  zoomToRefPoint: true, flickEnabled: true, flickMinSpeed: 120, flickMomentum: 0.25, pinchRotate: false,
};

/** The pane whose springs move the camera now. */
let driver: Hand | null = null;

export class Hand {
  readonly #viewer: OpenSeadragon.Viewer;
  #geometry: Geometry | null = null;
  #fitting = false; // The springs go to the whole plane.
  #pinched = false; // Since the first finger came down.
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(readonly element: HTMLElement) {
    keepOutStyles();
    this.#viewer = OpenSeadragon({
      element, drawer: "canvas", showNavigationControl: false, keyboardNavEnabled: false, tabIndex: -1, preserveViewport: true, autoResize: false,
      animationTime: this.#still.matches ? 0.01 : 0.35, springStiffness: 9, constrainDuringPan: false, visibilityRatio: 0.15,
      minZoomImageRatio: 0.25, maxZoomPixelRatio: 64 / devicePixelRatio, zoomPerScroll: 1.25, minScrollDeltaTime: 0,
      gestureSettingsMouse: { ...GESTURES, flickMinSpeed: Infinity }, // A mouse stops where it stops.
      gestureSettingsTouch: GESTURES, gestureSettingsPen: GESTURES, gestureSettingsUnknown: GESTURES,
    });
    this.#viewer.canvas.tabIndex = -1;
    for (const name of ["canvas-press", "canvas-scroll", "canvas-pinch"] as const) this.#viewer.addHandler(name, () => this.#grip());
    this.#viewer.addHandler("canvas-press", () => void (this.#pinched = false));
    this.#viewer.addHandler("canvas-pinch", (event) => {
      this.#pinched = event.preventDefaultPanAction = event.preventDefaultZoomAction = true;
      this.#pinch(event.lastCenter, event.center, event.distance / event.lastDistance);
    });
    this.#viewer.addHandler("canvas-drag-end", (event) => {
      if (this.#pinched) event.preventDefaultAction = true; // The fingers of a pinch are fast; the picture stays where they leave it.
    });
    this.#viewer.addHandler("canvas-double-click", (event) => this.#double({ x: event.position.x, y: event.position.y }));
    this.#viewer.addHandler("viewport-change", () => this.#report());
    this.#viewer.addHandler("animation-finish", () => this.#rest());
  }

  /** The plane that is shown. */
  show(geometry: Geometry): void {
    const before = this.#geometry;
    this.#geometry = geometry;
    if (before && before.width === geometry.width && before.height === geometry.height) return this.place();
    this.#viewer.addOnceHandler("open", () => this.place());
    const { width, height } = geometry; // A ground of the plane's size, of which no tile is ever there: the tiles are painted by us.
    this.#viewer.open({ tileSource: { width, height, tileSize: Math.max(width, height), getTileUrl: () => "", tileExists: () => false } as unknown as OpenSeadragon.TileSource });
  }

  /** Be where the store's camera is, if it is elsewhere. */
  place(): void {
    const at = this.#resolved();
    const stage = useStore.getState().stage;
    if (!at || !this.#geometry || !stage.width) return;
    const viewport = this.#viewer.viewport;
    const goal = driver === this ? aim() : null;
    if (goal && (viewport.containerSize.x !== stage.width || viewport.containerSize.y !== stage.height)) {
      this.#letGo(); // The springs would go on in the stage of before.
      return moveCamera(goal);
    }
    if (viewport.containerSize.x !== stage.width || viewport.containerSize.y !== stage.height) {
      viewport.resize(new OpenSeadragon.Point(stage.width, stage.height), false);
    } else if (same(at, this.#camera()) && this.#lies(at)) return;
    const { x, y, zoom } = toViewport(at, this.#geometry, stage);
    const led = driver === this;
    if (led) this.#letGo();
    viewport.setFlip(at.flip);
    viewport.setRotation(degreesOf(at), true);
    viewport.zoomTo(zoom, undefined, true);
    viewport.panTo(new OpenSeadragon.Point(x, y), true);
    if (led) lookAnew(); // Tiles were asked for where the springs would have gone.
  }

  /** Do what a key or a button asks for. */
  move(move: Move): void {
    const at = this.#resolved(true);
    if (!at) return;
    const { stage, camera } = useStore.getState();
    if (move.kind === "turn" || move.kind === "flip") return moveCamera({ ...aim(), ...turned(camera, move) }); // At once where the springs were going.
    if (move.kind === "fit") return this.#fit();
    if (move.kind === "exact") this.#go({ ...at, scale: move.n / devicePixelRatio });
    else if (move.kind === "zoom") this.#go({ ...at, scale: at.scale * move.factor });
    else this.#go(panned(at, stage, move.dx, move.dy));
  }

  destroy(): void {
    if (driver === this) this.#letGo();
    this.#viewer.destroy();
  }

  /** Whether it is turned and mirrored so. */
  #lies(at: Camera): boolean {
    const { viewport } = this.#viewer;
    const degrees = Math.round(viewport.getRotation()) - degreesOf(at);
    return viewport.getFlip() === at.flip && degrees % 360 === 0;
  }

  /** What was between the fingers stays there. OpenSeadragon's own pinch lets it slip aside. */
  #pinch(before: Point, now: Point, factor: number): void {
    const at = this.#camera();
    const geometry = this.#geometry;
    if (!at || !geometry || !Number.isFinite(factor)) return;
    const { stage } = useStore.getState();
    const viewport = this.#viewer.viewport;
    const view = toViewport(at, geometry, stage);
    const zoom = Math.min(viewport.getMaxZoom(), Math.max(viewport.getMinZoom(), view.zoom * factor));
    const next = toViewport(held({ ...at, scale: (at.scale * zoom) / view.zoom }, fromStage(at, stage, before), now, stage), geometry, stage);
    viewport.zoomTo(next.zoom, undefined, true);
    viewport.panTo(new OpenSeadragon.Point(next.x, next.y), true);
    viewport.applyConstraints(true);
  }

  #double(at: Point): void {
    const camera = this.#resolved();
    const { stage } = useStore.getState();
    if (!camera || !this.#geometry || useStore.getState().tool !== "pan") return;
    const next = doubled(camera, useStore.getState().camera.fitted, fromStage(camera, stage, at), at, stage, devicePixelRatio);
    if (next) this.#go(next);
    else this.#fit();
  }

  #fit(): void {
    const geometry = this.#geometry;
    const { camera, stage } = useStore.getState();
    if (!geometry) return;
    if (this.#still.matches || camera.fitted) return moveCamera({ fitted: true });
    this.#go(resolved({ ...camera, fitted: true }, geometry, stage));
    this.#fitting = true;
    this.#point();
  }

  #go(camera: Camera): void {
    const geometry = this.#geometry;
    if (!geometry) return;
    this.#grip();
    const viewport = this.#viewer.viewport;
    const { x, y, zoom } = toViewport(camera, geometry, useStore.getState().stage);
    const kept = Math.min(viewport.getMaxZoom(), Math.max(viewport.getMinZoom(), zoom));
    viewport.zoomTo(kept, undefined, this.#still.matches);
    viewport.panTo(new OpenSeadragon.Point(x, y), this.#still.matches);
    viewport.applyConstraints(this.#still.matches);
    this.#point();
  }

  #grip(): void {
    driver = this;
    this.#fitting = false;
  }

  #letGo(): void {
    driver = null;
    this.#fitting = false;
    setAim(null);
  }

  /** Tell where the springs go. */
  #point(): void {
    const goal = this.#camera(false);
    const { camera } = useStore.getState();
    if (goal) setAim(this.#fitting ? { ...camera, fitted: true } : { ...goal, fitted: false });
  }

  #report(): void {
    const now = this.#camera();
    const before = this.#resolved();
    if (driver !== this || !now || !before || same(now, before)) return;
    this.#point();
    withinFrame(() => moveCamera({ x: now.x, y: now.y, scale: now.scale, fitted: false }));
  }

  #rest(): void {
    if (driver !== this) return;
    setAim(null);
    if (this.#fitting) moveCamera({ fitted: true });
    else this.#report();
    this.#fitting = false;
    setAim(null);
  }

  /** The store's camera for the plane shown here; `goal`: where the springs of this pane bring it. */
  #resolved(goal = false): Camera | null {
    const { camera, stage } = useStore.getState();
    if (!this.#geometry || !stage.width) return null;
    return (goal && driver === this && this.#camera(false)) || resolved(camera, this.#geometry, stage);
  }

  /** Where OpenSeadragon is, or is going. */
  #camera(current = true): Camera | null {
    const { camera, stage } = useStore.getState();
    const viewport = this.#viewer.viewport;
    if (!this.#geometry || !stage.width) return null;
    const center = viewport.getCenter(current);
    return toCamera({ x: center.x, y: center.y, zoom: viewport.getZoom(current) }, camera, this.#geometry, stage);
  }
}

/** OpenSeadragon writes a style element of its own, which the page's rules forbid, unless it finds one: so it finds one that is none. */
function keepOutStyles(): void {
  const name = "data-openseadragon-mobile-css";
  if (document.querySelector(`style[${name}]`)) return;
  const none = document.createElementNS("imgd:none", "style");
  none.setAttribute(name, "");
  document.head.append(none);
}

// The canvas of a pane: painted once a frame, when something has changed; and what tests and the bench are told of it.
import { useStore } from "../state/store";
import { resolved } from "./geometry";
import { paint } from "./painter";
import type { Glances } from "./glances";
import type { TileStore } from "./tiles";
import type { Turn } from "./turn";

export class Screen {
  canvas: HTMLCanvasElement | null = null;
  /** All tiles that are seen were painted the last time. */
  whole = false;
  /** A glance was among what was painted. */
  coarse = false;
  #host: HTMLElement | null = null;
  #frame = 0;
  #marked = { first: "", complete: "" };

  /** `shown` tells what is to be painted, `settled` whether it is what was asked for last. */
  constructor(
    private readonly tiles: TileStore<ImageBitmap>,
    private readonly glances: Glances<ImageBitmap>,
    private readonly shown: () => Turn | null,
    private readonly settled: () => boolean,
  ) {}

  attach(canvas: HTMLCanvasElement, host: HTMLElement): () => void {
    this.canvas = canvas;
    this.#host = host;
    this.mark();
    this.schedule();
    return () => {
      if (this.canvas === canvas) this.canvas = this.#host = null;
    };
  }

  schedule(): void {
    if (this.#frame || document.hidden || !this.canvas) return;
    this.#frame = requestAnimationFrame(() => this.paint());
  }

  stop(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  paint(): void {
    this.stop();
    const { canvas } = this;
    const context = canvas?.getContext("2d");
    const { stage, camera } = useStore.getState();
    if (!canvas || !context || document.hidden || !stage.width) return;
    const dpr = devicePixelRatio;
    const [width, height] = [Math.round(stage.width * dpr), Math.round(stage.height * dpr)];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const { picture, geometry } = this.shown() ?? { picture: "", geometry: null };
    if (!geometry) return;
    const glance = this.glances.of(picture);
    const scene = { picture, glance, geometry, camera: resolved(camera, geometry, stage), stage, dpr };
    this.whole = paint(context, this.tiles, scene).whole;
    this.coarse = glance !== null && !this.whole;
    this.mark();
  }

  /** Say on the pane's element and in the page's timeline what is on screen. */
  mark(): void {
    const host = this.#host;
    if (!host) return;
    const shown = this.shown();
    const complete = shown !== null && this.whole && this.settled();
    host.dataset.turn = String(shown?.turn ?? 0);
    host.dataset.shown = shown?.ref ?? "";
    host.dataset.complete = String(complete);
    host.dataset.coarse = String(shown !== null && this.coarse);
    if (!shown) return;
    const detail = { ref: shown.ref, turn: shown.turn, look: shown.look, coarse: this.coarse };
    if (this.#marked.first !== shown.picture) performance.mark("imgd:first", { detail });
    this.#marked.first = shown.picture;
    if (!complete || this.#marked.complete === shown.picture) return;
    this.#marked.complete = shown.picture;
    performance.mark("imgd:complete", { detail });
  }
}

// Following a directory without a websocket: its newest frame is looked for, and events tell of newer ones.
import type { Following } from "../state/types";
import { address, getJson } from "./http";

const FIRST = 100; // Names that are no frames may be newer than the newest frame.

interface Listing {
  entries: { ref: string; kind: string }[];
}

interface Told {
  shows(ref: string): void;
  following(state: Following): void;
  failed(error: unknown): void;
}

export class Newest {
  private shown: string | null = null;
  private pending: string | null = null;
  private skipped = 0;
  private course = new AbortController();

  constructor(
    private readonly dir: string,
    private paused: boolean,
    private readonly told: Told,
  ) {}

  /** See for itself which frame is the newest. */
  look(): void {
    this.course.abort();
    const course = (this.course = new AbortController());
    getJson<Listing>(address("frames", { dir: this.dir, order: "newest", limit: FIRST }), course.signal).then(
      ({ entries }) => {
        const newest = entries.find((entry) => entry.kind === "frame")?.ref;
        if (newest !== undefined && newest !== this.shown && newest !== this.pending) this.arrived(newest);
        else this.tell();
      },
      (error: unknown) => course.signal.aborted || this.told.failed(error),
    );
  }

  heard(ref: string): void {
    if (ref.slice(0, ref.lastIndexOf("/")) === this.dir) this.arrived(ref);
  }

  play(): void {
    this.paused = false;
    this.jump();
  }

  pause(): void {
    this.paused = true;
    this.tell();
  }

  step(): void {
    this.paused = true;
    this.jump();
  }

  end(): void {
    this.course.abort();
  }

  private arrived(ref: string): void {
    if (this.pending !== null) this.skipped += 1;
    this.pending = ref;
    if (this.paused && this.shown !== null) this.tell();
    else this.jump();
  }

  private jump(): void {
    const newest = this.pending;
    this.pending = null;
    if (newest !== null) {
      this.shown = newest;
      this.told.shows(newest);
    }
    this.tell();
  }

  private tell(): void {
    this.told.following({ dir: this.dir, paused: this.paused, pending: this.pending, skipped: this.skipped });
  }
}

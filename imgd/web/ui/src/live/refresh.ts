// Frames that are written over and over are shown anew at a bounded pace, and the last state always.

const REST_MS = 500;

export class Refresher {
  private readonly resting = new Map<number, boolean>(); // Whether it was asked for again meanwhile.

  constructor(private readonly carry: (pane: number) => void, private readonly rest_ms = REST_MS) {}

  ask(pane: number): void {
    if (this.resting.has(pane)) this.resting.set(pane, true);
    else this.now(pane);
  }

  private now(pane: number): void {
    this.resting.set(pane, false);
    this.carry(pane);
    setTimeout(() => {
      const again = this.resting.get(pane);
      this.resting.delete(pane);
      if (again) this.now(pane);
    }, this.rest_ms);
  }
}

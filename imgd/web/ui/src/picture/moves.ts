// What keys and buttons do to the camera. They ask; the hand of the picture (hand.ts) carries it out with its springs.

/** A move of the camera, as keys and buttons ask for it. */
export type Move =
  | { kind: "zoom"; factor: number }
  | { kind: "pan"; dx: number; dy: number }
  | { kind: "fit" }
  | { kind: "exact"; n: number }
  | { kind: "turn"; by: 90 | 180 | 270 | -90 }
  | { kind: "flip" };

const hands = new Set<(move: Move) => void>();

/** Hear of moves; the answer ends it. */
export function hearMoves(hand: (move: Move) => void): () => void {
  hands.add(hand);
  return () => hands.delete(hand);
}

function ask(move: Move): void {
  for (const hand of hands) hand(move);
}

/** Larger by a factor about the centre of the stage; below 1 smaller. */
export function zoomBy(factor: number): void {
  ask({ kind: "zoom", factor });
}

/** Move what is looked at, in fractions of the stage's width and height: x to the right, y down. */
export function panBy(dxFraction: number, dyFraction: number): void {
  ask({ kind: "pan", dx: dxFraction, dy: dyFraction });
}

/** The whole plane. */
export function fit(): void {
  ask({ kind: "fit" });
}

/** `n` device pixels for one pixel of the picture: 1 is 1:1, 2 is 2:1, 0.5 is 1:2. */
export function oneToOne(n = 1): void {
  ask({ kind: "exact", n });
}

/** Turn what is seen clockwise by quarters. */
export function turnBy(degrees: 90 | 180 | 270 | -90): void {
  ask({ kind: "turn", by: degrees });
}

/** Mirror what is seen, left and right exchanged. */
export function flip(): void {
  ask({ kind: "flip" });
}

// Why a connection was closed, in words; codes as docs/live.md has them.
const WORDS: Readonly<Record<number, string>> = {
  1001: "the daemon is ending, or starts anew",
  1003: "the daemon did not understand this page: reload it",
  1009: "a message was too large for the daemon",
  1013: "this page took nothing for too long",
  4001: "a newer connection has taken over: reload this page to go on here",
  4002: "the session was ended by an operator: open a frame to begin a new one",
};
const FOR_GOOD: readonly number[] = [1003, 4001, 4002];

export function closedInWords(code: number, reason: string): string {
  return WORDS[code] ?? (reason || "the daemon does not answer");
}

/** Whether nobody should come back by itself after it. */
export function isForGood(code: number): boolean {
  return FOR_GOOD.includes(code);
}

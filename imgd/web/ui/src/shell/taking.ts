// What is taken away by a key, without the menu.
import { copyPlace } from "../measure/copy";
import { deepLink } from "../state/deeplink";
import { say, useStore } from "../state/store";
import { copyText } from "./copy";

export function openTakeAway(): void {
  useStore.setState({ takeAwayOpen: true });
}

export function copyValues(): void {
  void copyPlace();
}

export function copyLink(): void {
  void copyAndSay(deepLink(), "The link");
}

/** Copy, and say whether it went well; where the browser refuses, the text is there to be copied by hand. */
export async function copyAndSay(text: string, what: string): Promise<boolean> {
  const done = await copyText(text);
  say(done ? `${what} is copied` : `The browser did not let this page copy. ${what}: ${text}`, done ? "info" : "wrong");
  return done;
}

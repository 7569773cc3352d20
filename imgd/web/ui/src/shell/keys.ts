// The keyboard: finds the action of a key in the table, unless the key belongs to what has the focus.
import { useEffect } from "react";
import { KEYS, type KeyName } from "./keys_table";
import { useNight } from "./night";

/** What of a keyboard event is looked at. */
export interface Pressed {
  key: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

/** What the focus takes for itself: all keys, those that press and move, those that press, or none. */
export type Focus = "text" | "moved" | "pressed" | "none";

const ACTIONS = new Map<string, KeyName>(
  (Object.keys(KEYS) as KeyName[]).flatMap((name) => KEYS[name].keys.map((key): [string, KeyName] => [key, name])),
);

/** The name of a key as the table has it: letters by case of Shift alone (not of Caps Lock), other signs as typed. */
export function nameOfKey({ key, shiftKey }: Pick<Pressed, "key" | "shiftKey">): string {
  if (key === " ") return shiftKey ? "Shift+Space" : "Space";
  if (key.length > 1) return shiftKey ? `Shift+${key}` : key;
  if (key.toLowerCase() === key.toUpperCase()) return key;
  return shiftKey ? `Shift+${key.toUpperCase()}` : key.toLowerCase();
}

const PRESSES = /^(Shift\+)?(Space|Enter)$/;
const MOVES = /^(Shift\+)?(Arrow|Space|Enter|Home|End|Page)/;

/** The action that a key stands for, if any. */
export function actionOf(pressed: Pressed, focus: Focus): KeyName | null {
  if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || focus === "text") return null;
  const name = nameOfKey(pressed);
  if ((focus === "pressed" && PRESSES.test(name)) || (focus === "moved" && MOVES.test(name))) return null;
  return ACTIONS.get(name) ?? null;
}

const PRESSED_INPUTS = ["button", "checkbox", "color", "file", "image", "reset", "submit"];
const MOVED_INPUTS = ["radio", "range"];
const PRESSED = "button, a[href], summary, [role=button]";
const MOVED = "[role=slider], [role=tab], [role=option], [role=listbox], [role=grid], [role=menuitem], [role=spinbutton]";

function focusOf(target: EventTarget | null): Focus {
  if (!(target instanceof HTMLElement)) return "none";
  if (target.isContentEditable || target.matches("textarea, select")) return "text";
  if (target instanceof HTMLInputElement) {
    return MOVED_INPUTS.includes(target.type) ? "moved" : PRESSED_INPUTS.includes(target.type) ? "pressed" : "text";
  }
  return target.matches(MOVED) ? "moved" : target.matches(PRESSED) ? "pressed" : "none";
}

function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return;
  const name = actionOf(event, event.key === "Escape" ? "none" : focusOf(event.target));
  if (!name || (document.querySelector("dialog[open]") && name !== "help")) return;
  if (event.repeat && !/^(previous|next|pan.+|zoom.+)$/.test(name)) return;
  event.preventDefault();
  KEYS[name].run();
}

/** Listen to the keyboard, and take up what was remembered of the page's look. */
export function useKeys(): void {
  useNight();
  useEffect(() => {
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}

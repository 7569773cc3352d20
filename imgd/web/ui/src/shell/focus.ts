// Where the focus goes when what has it comes or goes: never to the page's start.
import { useLayoutEffect, useRef, type RefObject } from "react";
import type { Panel } from "../state/types";
import type { KeyName } from "./keys_table";

/** When this part leaves the page and the focus is in it, the focus goes where `to` says. */
export function useFocusBack(whole: RefObject<HTMLElement | null>, to: () => HTMLElement | null): void {
  const there = useRef(to);
  there.current = to;
  // It is still there when this is called, and so is the focus.
  useLayoutEffect(
    () => () => {
      if (whole.current?.contains(document.activeElement)) there.current()?.focus({ preventScroll: true });
    },
    [],
  );
}

/** The button that is seen for a key: where room is short, that which opens its group. */
export function buttonOf(name: KeyName): HTMLElement | null {
  for (const button of document.querySelectorAll<HTMLElement>(`[data-key="${name}"]`)) {
    if (isSeen(button)) return button;
    const opener = button.closest(".folding, .top-menu")?.querySelector<HTMLElement>("button");
    if (opener && isSeen(opener)) return opener;
  }
  return null;
}

function isSeen(element: HTMLElement): boolean {
  return element.isConnected && element.offsetParent !== null;
}

let opener: HTMLElement | null = null;

/** Before a panel is opened: what has the focus now gets it back. */
export function panelOpens(): void {
  const { activeElement } = document;
  const inPanel = activeElement?.closest(".side");
  if (!inPanel) opener = activeElement instanceof HTMLElement && activeElement !== document.body ? activeElement : null;
}

/** Opened by a key: the next Tab goes into the panel. A button that has opened it keeps the focus. */
export function focusPanel(): void {
  requestAnimationFrame(() => {
    if (!document.activeElement?.closest(".toolbar, .side")) document.getElementById("panel")?.focus({ preventScroll: true });
  });
}

/** Where the focus goes when this panel is closed. */
export function afterPanel(panel: Panel): HTMLElement | null {
  const before = opener;
  opener = null;
  return before && isSeen(before) ? before : buttonOf(`${panel}Panel`);
}

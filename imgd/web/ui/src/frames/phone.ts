// On a phone the list covers the page, as shell/app.css has it.
import { useStore } from "../state/store";

export function isPhone(): boolean {
  return window.matchMedia("(max-width: 760px)").matches;
}

export function closeList(): void {
  useStore.setState({ listOpen: false });
}

/** On a phone the list has done its work once something is chosen. */
export function chosen(): void {
  if (isPhone()) closeList();
}

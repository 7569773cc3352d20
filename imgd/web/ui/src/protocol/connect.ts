// The page's one link, and what it tells the store.
import { useStore } from "../state/store";
import { Chooser } from "./chooser";
import type { Link } from "./link";

let current: Chooser | null = null;

/** The page's one link: by websocket, or by plain HTTP where websockets are blocked. Its state is in the store. */
export function connect(): Link {
  current?.end();
  current = new Chooser((connection) => useStore.setState({ connection }));
  return current;
}

/** The person does not want to wait for the next attempt. */
export function tryNow(): void {
  current?.now();
}

// What a pane that follows says of itself.
import type { Connection, Following } from "../state/types";

export function badgeWords({ paused, pending }: Following, connection: Connection["state"]): string {
  if (connection === "lost") return "No connection";
  if (connection === "connecting") return "Connecting";
  if (!paused) return "Live";
  return pending ? "Paused · newer waits" : "Paused";
}

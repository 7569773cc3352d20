// How the page stands with the daemon: a dot and a word; when it is lost, how long until the next attempt.
import { useEffect, useState } from "react";
import { tryNow } from "../protocol/connect";
import { useStore } from "../state/store";
import type { Connection } from "../state/types";

const WORDS = { connecting: "Connecting", live: "Live", http: "By HTTP", lost: "Lost" } as const;
const MEANING = {
  connecting: "Connecting to the daemon",
  live: "Connected: changes show at once",
  http: "Websockets are blocked here: pictures come by plain HTTP, and new frames are asked for",
  lost: "The daemon does not answer",
} as const;

export function ConnectionState() {
  const connection = useStore((state) => state.connection);
  return (
    <div className={`connection ${connection.state}`} title={connection.state === "lost" ? connection.words : MEANING[connection.state]}>
      <span className="dot" aria-hidden="true" />
      <span role="status">
        {WORDS[connection.state]}
        <span className="unseen">: {MEANING[connection.state]}</span>
      </span>
      {connection.state === "lost" && <Lost connection={connection} />}
    </div>
  );
}

function Lost({ connection }: { connection: Connection & { state: "lost" } }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, []);
  const rest = secondsUntil(connection.again_at, Date.now());
  return (
    <>
      <span className="numbers countdown">{rest > 0 ? `again in ${rest} s` : "trying"}</span>
      <button type="button" className="plain" onClick={tryNow}>Try now</button>
    </>
  );
}

export function secondsUntil(time: number, now: number): number {
  return Math.max(0, Math.ceil((time - now) / 1000));
}

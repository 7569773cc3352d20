// The part of the panel about the whole plane: its statistics.
import { useState } from "react";
import { useStore } from "../state/store";
import type { Shown } from "../state/types";
import type { ChannelStats, StatsAnswer } from "./answers";
import { AskedWords, Figures, figuresText } from "./asked_words";
import { useShared, useVersion } from "./asking";
import { OfPlane } from "./channel_part";
import { copied } from "./copy";
import { ask, mainPlane } from "./subject";
import { figure } from "./words";

export function PlanePart({ shown }: { shown: Shown }) {
  const [open, setOpen] = useState(false);
  const channel = useStore((state) => state.channel);
  const alone = shown.look.rgb !== undefined; // The planes of a composed picture are not one colour plane to the daemon.
  const url = open ? ask("stats", mainPlane(shown, alone ? channel : 0), { color: alone ? "mono" : "auto" }) : null;
  const asked = useShared<StatsAnswer>(url, useVersion(shown));
  const channels = asked.answer?.channels ?? [];
  return (
    <section aria-label="The whole plane">
      <div className="head">
        <h2>Whole plane {alone && <OfPlane shown={shown} />}</h2>
        {channels.length > 0 && (
          <button type="button" className="plain" onClick={() => void copied(channels.map((channel) => figuresText(planeRows(channel, channels.length > 1))).join("\n"))}>
            Copy
          </button>
        )}
        <button type="button" className="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? "Hide" : "Statistics"}
        </button>
      </div>
      <AskedWords asked={asked} what="Measuring the plane" />
      {channels.map((channel) => (
        <Figures key={channel.channel} rows={planeRows(channel, channels.length > 1)} />
      ))}
    </section>
  );
}

function planeRows(channel: ChannelStats, named: boolean): [string, string][] {
  const rows: [string, string][] = [
    ["Pixels", String(channel.count)],
    ["Bad", String(channel.bad)],
    ["Saturated", String(channel.saturated)],
    ["Mean", figure(channel.mean, 7)],
    ["Median", figure(channel.median, 7)],
    ["Sigma", figure(channel.sigma)],
    ["MAD", figure(channel.mad)],
    ["Minimum", figure(channel.min, 7)],
    ["Maximum", figure(channel.max, 7)],
    ...channel.quantiles.filter(({ q }) => [0.01, 0.25, 0.75, 0.99].includes(q)).map(({ q, value }): [string, string] => [`${q * 100} % below`, figure(value, 7)]),
  ];
  return named ? [["Channel", channel.channel], ...rows] : rows;
}

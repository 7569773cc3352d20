// On a phone: what the bar at the top has no room for.
import { useEffect, useId, useRef, useState } from "react";
import { useStore } from "../state/store";
import { Icon, type IconName } from "./icons";
import { KEYS, type KeyName } from "./keys_table";

const ENTRIES: readonly { name: KeyName; icon: IconName; words: string }[] = [
  { name: "strip", icon: "strip", words: "Strip of thumbnails" },
  { name: "takeAway", icon: "save", words: "Take away" },
  { name: "copyLink", icon: "link", words: "Copy the link" },
  { name: "night", icon: "night", words: "Red night mode" },
  { name: "full", icon: "full", words: "Full screen" },
  { name: "help", icon: "help", words: "Help" },
];

export function TopMenu() {
  const [open, setOpen] = useState(false);
  const id = useId();
  const whole = useRef<HTMLDivElement>(null);
  useClosing(open, whole, () => setOpen(false));
  return (
    <div className="top-menu" ref={whole}>
      <button type="button" className="key-button" aria-label="More" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        <Icon name="menu" />
      </button>
      <ul id={id} hidden={!open}>
        {ENTRIES.map((entry) => (
          <Entry key={entry.name} {...entry} done={() => setOpen(false)} />
        ))}
      </ul>
    </div>
  );
}

function Entry({ name, icon, words, done }: { name: KeyName; icon: IconName; words: string; done: () => void }) {
  const pressed = useStore((state) => (name === "night" ? state.night : name === "strip" ? state.stripOpen : undefined));
  const run = (): void => {
    done();
    KEYS[name].run();
  };
  return (
    <li>
      <button type="button" aria-pressed={pressed} onClick={run}>
        <Icon name={icon} /> {words}
      </button>
    </li>
  );
}

/** Close what is open when something else is pressed, the focus leaves, or by Escape. */
export function useClosing(open: boolean, whole: React.RefObject<HTMLElement | null>, close: () => void): void {
  useEffect(() => {
    if (!open) return;
    const outside = (event: Event): void => {
      if (event.target instanceof Node && !whole.current?.contains(event.target)) close();
    };
    const escape = (event: KeyboardEvent): void => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // It closes this, and nothing else.
      whole.current?.querySelector("button")?.focus();
      close();
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("focusin", outside);
    document.addEventListener("keydown", escape);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("focusin", outside);
      document.removeEventListener("keydown", escape);
    };
  });
}

// The red night mode is remembered by the browser, where it lets us.
import { useLayoutEffect } from "react";
import { useStore } from "../state/store";
import "./night.css";

const NAME = "imgd.night";

/** Take up the mode of last time, and remember it from now on. */
export function useNight(): void {
  useLayoutEffect(() => {
    if (read() === "1") useStore.setState({ night: true });
    return useStore.subscribe((state) => state.night, (night) => keep(night ? "1" : "0"));
  }, []);
}

function read(): string | null {
  try {
    return localStorage.getItem(NAME);
  } catch {
    return null; // Storage may be forbidden: then it is not remembered.
  }
}

function keep(value: string): void {
  try {
    localStorage.setItem(NAME, value);
  } catch {
    return;
  }
}

/** The filter that the styles of the night use: how bright it is, in red alone. */
export function NightFilter() {
  return (
    <svg className="night-filter" aria-hidden="true">
      <filter id="night-red" colorInterpolationFilters="sRGB">
        <feColorMatrix type="matrix" values=".3 .59 .11 0 0  0 0 0 0 0  0 0 0 0 0  0 0 0 1 0" />
      </filter>
    </svg>
  );
}

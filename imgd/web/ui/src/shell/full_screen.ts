// The whole screen for the page, where the browser can do that; words where it cannot.
import { useSyncExternalStore } from "react";

const CANNOT = "This browser does not give the whole screen to a page. On an iPhone or iPad: Share, then “Add to Home Screen”";

/** Take the whole screen or give it back; answers with words if it went wrong. */
export async function toggleFullScreen(): Promise<string | null> {
  const page: Partial<Pick<HTMLElement, "requestFullscreen">> = document.documentElement;
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (page.requestFullscreen && document.fullscreenEnabled) await document.documentElement.requestFullscreen();
    else return CANNOT;
    return null;
  } catch (error) {
    return `The whole screen was not given: ${error instanceof Error ? error.message : "the browser refused"}`;
  }
}

function hear(changed: () => void): () => void {
  document.addEventListener("fullscreenchange", changed);
  return () => document.removeEventListener("fullscreenchange", changed);
}

export function useFullScreen(): boolean {
  return useSyncExternalStore(hear, () => document.fullscreenElement !== null);
}

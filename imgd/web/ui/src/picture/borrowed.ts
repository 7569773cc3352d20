// A pane's runner as other parts of the page have it: running it again and closing it are the picture's business.
import type { Runner } from "../protocol/link";

export function borrowed(runner: Runner, { retry, close, pause, step }: Pick<Runner, "retry" | "close" | "pause" | "step">): Runner {
  return {
    show: (subject, look) => runner.show(subject, look),
    change: (look) => runner.change(look),
    look: (viewport) => runner.look(viewport),
    fit: (width, height, dpr) => runner.fit(width, height, dpr),
    retry,
    play: () => runner.play(),
    pause,
    step,
    log: (since) => runner.log(since),
    close,
  };
}

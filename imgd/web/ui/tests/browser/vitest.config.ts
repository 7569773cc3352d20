import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

// Two browsers at a time where there are cores for them: each waits a good deal, for the daemon and for the screen.
export default defineConfig({
  root: new URL("../..", import.meta.url).pathname,
  test: {
    include: ["tests/browser/**/*.spec.ts"], globalSetup: ["tests/browser/stand.ts"], maxWorkers: Math.min(2, availableParallelism()),
    testTimeout: 90_000, hookTimeout: 240_000, retry: 0,
  },
});

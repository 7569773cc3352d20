import { defineConfig } from "vitest/config";

// One browser at a time: the machine's cores belong to the daemon and its workers.
export default defineConfig({
  root: new URL("../..", import.meta.url).pathname,
  test: { include: ["tests/browser/**/*.spec.ts"], testTimeout: 90_000, hookTimeout: 240_000, fileParallelism: false, maxWorkers: 1, retry: 0 },
});

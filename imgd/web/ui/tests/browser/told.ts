// Tells of each file of tests as soon as it has ended, in a line of JSON, for who runs all of them and speaks of each.
import { appendFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

type Wrong = ReturnType<TestModule["errors"]>[number] & { diff?: string; stacks?: { file: string; line: number; column: number }[] };

const DIFF_LINES_MAX = 60;

/** An error in words: what it says, what differs, where it was, and what caused it. */
function words(error: Wrong): string {
  const diff = (error.diff ?? "").split("\n");
  const more = diff.length > DIFF_LINES_MAX ? [`... and ${diff.length - DIFF_LINES_MAX} lines more`] : [];
  const places = error.stacks?.map(({ file, line, column }) => `    at ${file}:${line}:${column}`) ?? [error.stack ?? ""];
  const cause = error.cause ? [`caused by ${words(error.cause as Wrong)}`] : [];
  return [`${error.name ?? "Error"}: ${error.message}`, ...diff.slice(0, DIFF_LINES_MAX), ...more, ...places, ...cause].filter(Boolean).join("\n");
}

export default class Told implements Reporter {
  private tell(path: string, wrong: string[], tests = 0): void {
    appendFileSync(process.env["IMGD_TEST_TOLD"] ?? "/dev/stderr", `${JSON.stringify({ path, wrong, tests })}\n`);
  }

  onTestModuleEnd(module: TestModule): void {
    const wrong = module.errors().map(words);
    let tests = 0;
    for (const suite of module.children.allSuites()) wrong.push(...suite.errors().map((error) => `${suite.fullName}\n${words(error)}`));
    for (const test of module.children.allTests()) {
      const { state, errors } = test.result();
      if (state === "passed") tests += 1;
      else if (state === "failed") wrong.push([`${test.fullName}: ${state}`, ...(errors ?? []).map(words)].join("\n"));
    }
    this.tell(module.moduleId, wrong, tests);
  }

  onTestRunEnd(_: unknown, unhandled: readonly Wrong[]): void {
    this.tell("", unhandled.map(words));
  }
}

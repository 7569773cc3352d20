// docs/viewer.md tells every key, in the words of the help. UPDATE_DOCS=1 writes its table anew.
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { KEYS } from "../../src/shell/keys_table";

const PATH = new URL("../../../../../docs/viewer.md", import.meta.url).pathname;
const PART = /<!-- keys -->\n[^]*<!-- \/keys -->/;

test("the table of keys in the documentation is the page's own", () => {
  const rows = Object.values(KEYS).map(({ keys, words }) => `| ${keys.map((key) => `\`${key}\``).join(" ")} | ${words} |`);
  const table = ["<!-- keys -->", "| key | what it does |", "|---|---|", ...rows, "<!-- /keys -->"].join("\n");
  const text = readFileSync(PATH, "utf8");
  if (process.env["UPDATE_DOCS"]) writeFileSync(PATH, text.replace(PART, () => table));
  else expect(PART.exec(text)?.[0]).toBe(table);
});

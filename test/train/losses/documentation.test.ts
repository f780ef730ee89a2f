/** What docs/losses.md says of losses over compared answers: every one of them, with every option and its default. */
import { readFileSync } from "node:fs";
import { Value as Json } from "typebox/value";
import { expect, test } from "vitest";
import { losses } from "../../../src/train/losses/index.ts";

const rows = readFileSync("docs/losses.md", "utf8").split("\n");
const documented = losses.filter(({ family }) => ["pair", "unpaired", "list"].includes(family));

test.each(documented)("$name", (loss) => {
  const row = rows.find((line) => line.startsWith(`| \`${loss.name}\` |`));
  expect(row, `no row for ${loss.name}`).toBeDefined();
  const defaults: object = Json.Create(loss.options);
  for (const [option, value] of Object.entries(defaults))
    expect(row).toContain(`\`${option}\` ${value}`);
  const needsReference = "needsReference" in loss && loss.needsReference;
  expect(row!.endsWith("| no |")).toBe(!needsReference);
});

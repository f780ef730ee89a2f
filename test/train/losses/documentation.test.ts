/** What docs/losses.md says of losses: every one of them, with every option and its default. */
import { readFileSync } from "node:fs";
import { Value as Json } from "typebox/value";
import { expect, test } from "vitest";
import { losses } from "../../../src/train/losses/index.ts";

const rows = readFileSync("docs/losses.md", "utf8").split("\n");
const documented = losses.filter(({ name }) => !["corrective", "adversarial"].includes(name)); // in sentences
/** Said once for all losses over policies. */
const shared: Readonly<Record<string, unknown>> = {
  tokens_max: 512,
  kl_weight: 0,
  kl_estimator: "k3",
  entropy_weight: 0,
};

test.each(documented)("$name", (loss) => {
  const row = rows.find((line) => line.startsWith(`| \`${loss.name}\` |`));
  expect(row, `no row for ${loss.name}`).toBeDefined();
  const defaults: object = Json.Create(loss.options);
  for (const [option, value] of Object.entries(defaults))
    if (!("estimator" in loss) || shared[option] !== value)
      expect(row).toContain(`\`${option}\` ${value}`);
  if (!("needsReference" in loss)) return;
  expect(row!.endsWith("| no |")).toBe(!loss.needsReference);
});

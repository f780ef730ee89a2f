/** What `plumbline eval trainers` refuses before it opens a model. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { expect, test } from "vitest";
import { addTrainers } from "../../src/commands/eval-trainers.ts";
import { temporaryFolder } from "../support/workspace.ts";

const folder = temporaryFolder();
const out = join(folder, "out");

function run(...flags: string[]): Promise<Command> {
  const program = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  addTrainers(program);
  for (const command of program.commands)
    command.exitOverride().configureOutput({ writeErr: () => {} });
  return program.parseAsync(["trainers", ...flags], { from: "user" });
}

function trialsFile(text: string): string {
  const path = join(folder, "trials.yaml");
  writeFileSync(path, text);
  return path;
}

const dpo = "- {method: dpo, rows: max_min, learning_rate: 1.0e-4, epochs: 1}\n";

test.each([
  [[], "--out"],
  [["--out", out, "--k", "0"], "positive integer"],
  [["--out", out, "--samples", "129"], "128 at most"],
  [["--out", out, "--domains", "support", "poetry"], "'poetry' is not one of support, arithmetic"],
  [["--out", out, "--methods", "dpo", "dppo"], "did you mean 'dpo'"],
  [["--out", out, "--methods", "bradley-terry"], "'bradley-terry' is not one of them"],
  [["--out", out, "--trials", join(folder, "none.yaml")], "cannot read it"],
  [["--out", out, "--methods", "dpo", "--trials", "any"], "not from both"],
])("%o is refused", async (flags, problem) => {
  await expect(run(...flags)).rejects.toThrow(problem);
  expect(existsSync(out)).toBe(false);
});

test.each([
  ["- {method: dpo", "Flow map"],
  ["[]", "the list"],
  [dpo.replace("max_min", "best_of_all"), "0.rows"],
  [dpo.replace("1.0e-4", "0"), "0.learning_rate"],
  [dpo.replace("epochs", "epoch"), "epoch"],
  [dpo + dpo, "kept in the folder 'dpo'"],
  [dpo.replace("}", ", options: {beta: 0}}"), "dpo.beta"],
  [dpo.replace("max_min", "lists"), "'lists' are list"],
])("a list of trials %o is refused", async (text, problem) => {
  await expect(run("--out", out, "--trials", trialsFile(text))).rejects.toThrow(problem);
  expect(existsSync(out)).toBe(false);
});

/** RAFT with adapters, over slices of the prompts, until the held-out reward has stopped rising. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runCommand } from "../../support/killed-command.ts";
import { jsonLines, supervisedRows, tinyCheckpoint } from "../../support/tiny-checkpoint.ts";
import { temporaryFolder } from "../../support/workspace.ts";

const folder = temporaryFolder();
const at = (...names: string[]) => join(folder, ...names);

async function commandWith(out: string, ...flags: string[]): Promise<string[]> {
  const policy = existsSync(at("base")) ? at("base") : await tinyCheckpoint(at("base"));
  const rows = supervisedRows(30).map(({ prompt }) => ({ prompt }));
  const prompts = jsonLines(at("prompts.jsonl"), rows);
  const rewards = '{"brief":{"kind":"length","target":3}}';
  const known = ["--prompts", prompts, "--policy", policy, "--rewards", rewards];
  const drawn = ["--reward", "brief", "--k", "2", "--max-tokens", "6", "--unfinished", "take"];
  return ["batch", "raft", ...known, ...drawn, "--threads", "1", "--out", at(out), ...flags];
}

const idsOf = (...names: string[]): string[] =>
  readFileSync(at(...names, "samples.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).id);

test("learns adapters from one slice of the prompts after the other, and stops when nothing is gained", async () => {
  const learnsNothing = ["--lora", "--lora-rank", "2", "--learning-rate", "1e-12"];
  const sizes = ["--iterations", "5", "--iteration-prompts", "10", "--held-out", "0.2"];
  const command = await commandWith("out", ...learnsNothing, ...sizes, "--patience", "2", "--json");
  const { code, said } = await runCommand(command);
  expect(code, said).toBe(0);
  const summary = JSON.parse(said.trimEnd().split("\n").at(-1)!);
  expect(summary.best).toBe(0);
  expect(summary.iterations).toHaveLength(3); // 0 to 2

  const [first, second] = [idsOf("out", "iteration-1"), idsOf("out", "iteration-2")];
  expect(first).toHaveLength(10);
  expect(new Set([...first, ...second]).size).toBe(20);

  const adapter = JSON.parse(
    readFileSync(at("out", "iteration-2", "adapter", "adapter_config.json"), "utf8"),
  );
  expect(adapter.r).toBe(2);
  const [before, after] = [at("base"), at("out", "iteration-2", "policy")].map((name) =>
    readFileSync(join(name, "model.safetensors")),
  );
  expect(after!.length).toBe(before!.length); // merged: no weights of their own
}, 60_000);

test("does not wait for a held-out reward where nothing is held out", async () => {
  const command = await commandWith("refused", "--held-out", "0", "--patience", "1");
  const { code, said } = await runCommand(command);
  expect(code).toBe(2);
  expect(said).toContain("'--patience': no prompt is held out");
}, 60_000);

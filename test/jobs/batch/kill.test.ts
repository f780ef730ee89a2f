/** RAFT that is killed with SIGKILL goes on, by the same command, to the same answers and the same weights. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { runCommand } from "../../support/killed-command.ts";
import { jsonLines, supervisedRows, tinyCheckpoint } from "../../support/tiny-checkpoint.ts";
import { temporaryFolder } from "../../support/workspace.ts";

const folder = temporaryFolder();
const at = (...names: string[]) => join(folder, ...names);

let command: string[];
beforeAll(async () => {
  const policy = await tinyCheckpoint(at("base"));
  const prompts = jsonLines(
    at("prompts.jsonl"),
    supervisedRows(48).map(({ prompt }) => ({ prompt })),
  );
  command = [
    "batch",
    "raft",
    "--prompts",
    prompts,
    "--policy",
    policy,
    "--k",
    "4",
    "--held-out",
    "0.2",
    "--iterations",
    "2",
    "--max-tokens",
    "8",
    "--unfinished",
    "take",
    "--batch",
    "8",
    "--pass-tokens",
    "256",
    "--learning-rate",
    "0.01",
    "--checkpoint-every",
    "2",
    "--rewards",
    '{"brief":{"kind":"length","target":3}}',
    "--reward",
    "brief",
    "--threads",
    "1",
    "--device",
    "cpu",
  ];
});

const run = (out: string, { killAt, more = [] }: { killAt?: string; more?: string[] } = {}) =>
  runCommand([...command, "--out", at(out), ...more], killAt);

test("killed while it trains, evaluates and samples it comes to what it would have come to", async () => {
  const through = await run("through");
  expect(through.code, through.said).toBe(0);
  const killings = ["\n3/", "iteration 1, evaluating: 2/", "iteration 2, sampling: 8/"];
  for (const killAt of killings) {
    const { code, said } = await run("killed", { killAt });
    expect(said).toContain(killAt);
    expect(code).toBeNull(); // by a signal
  }
  expect((await run("killed")).code).toBe(0);
  const files = [1, 2].flatMap((i) =>
    ["samples.jsonl", "winners.jsonl", "evaluation.jsonl", "policy/model.safetensors"].map((name) =>
      join(`iteration-${i}`, name),
    ),
  );
  for (const name of files)
    expect(readFileSync(at("killed", name)).equals(readFileSync(at("through", name))), name).toBe(
      true,
    );
  const weights = (name: string) => readFileSync(join(folder, name, "model.safetensors"));
  expect(weights("through/iteration-2/policy").equals(weights("through/iteration-1/policy"))).toBe(
    false,
  );

  const other = await run("through", { more: ["--learning-rate", "0.02"] });
  expect(other.code).toBe(2);
  expect(other.said).toContain("--learning-rate was 0.01 and is 0.02");
  expect(existsSync(at("through", "manifest.json"))).toBe(true);
}, 240_000);

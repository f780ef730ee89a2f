/** A training on own answers that is killed with SIGKILL goes on, by the same command, to the same weights and answers, bit by bit. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { runCommand } from "../../../support/killed-command.ts";
import { tinyCheckpoint } from "../../../support/tiny-checkpoint.ts";
import { promptFile } from "../../../support/tiny-online.ts";
import { temporaryFolder } from "../../../support/workspace.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);

let command: string[];
beforeAll(async () => {
  const base = await tinyCheckpoint(at("base"));
  const prompts = promptFile(folder, 16);
  // a saved state every 2 of 3 updates: what goes on may stand within a rollout, whose answers the weights of then drew
  const settings =
    "--batch 6 --minibatch 2 --k 3 --max-tokens 8 --steps 9 --checkpoint-every 2 --learning-rate 0.01 --held-out 0.3 " +
    "--evaluate-every 3 --patience 3 --kl-weight 0.01 --threads 1 --temperature 0.9 --sequences-max 16";
  const reward = ["--reward", JSON.stringify({ kind: "length", unit: "characters", target: 12 })];
  command = ["train", "grpo", "--base", base, "--prompts", prompts, "--data-dir", at("data")];
  command.push(...reward, ...settings.split(" "));
});

const run = (out: string, { killAt, more = [] }: { killAt?: string; more?: string[] } = {}) =>
  runCommand([...command, "--out", at(out), ...more], killAt);

/** What a step reported, without how long it took. */
const reported = (out: string) =>
  readFileSync(join(at(out), "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => ({ ...JSON.parse(line), seconds: 0 }));

const same = (name: string) =>
  readFileSync(join(at("killed"), name)).equals(readFileSync(join(at("through"), name)));

// Each run starts a process, which takes seconds on a busy machine.
describe("a training on own answers", { timeout: 300_000 }, () => {
  test("killed before and after a saved state, within a rollout and at its end comes to what it would have come to", async () => {
    const through = await run("through");
    expect(through.said).toContain("9/9");
    expect(through.code).toBe(0);
    for (const killAt of ["held out", "\n1/9", "\n3/9", "\n6/9"]) {
      const { code, said } = await run("killed", { killAt });
      expect(said).toContain(killAt);
      expect(code).toBeNull(); // by a signal
      expect(existsSync(join(at("killed"), "config.json"))).toBe(false); // nothing that could be loaded
    }
    const { said } = await run("killed", { killAt: "\n9/9" }); // while it writes, unless it is faster
    expect(said).toContain("going on after step");
    expect((await run("killed")).code).toBe(0);
    for (const name of ["model.safetensors", "rollouts.jsonl", "config.json", "tokenizer.json"])
      expect(same(name), name).toBe(true);
    expect(reported("killed")).toEqual(reported("through"));
    const stepsOf = (wanted: string) =>
      reported("killed").flatMap(({ step, split }) => (split === wanted ? [step] : []));
    expect(stepsOf("train")).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(stepsOf("held-out")).toEqual([0, 3, 6, 9]);
    const trained = readFileSync(join(at("through"), "model.safetensors"));
    expect(trained.equals(readFileSync(join(at("base"), "model.safetensors")))).toBe(false);
  });

  test("that has ended is not run again, and its folder is refused to another command, with the difference", async () => {
    const again = await run("through");
    expect(again.code).toBe(0);
    expect(again.said).not.toContain("1/9");
    const other = await run("through", { more: ["--k", "4", "--temperature", "1"] });
    expect(other.code).toBe(2);
    expect(other.said).toContain("--k was 3 and is 4");
    expect(other.said).toContain("--temperature was 0.9 and is 1");
  });
});

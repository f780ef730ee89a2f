/** What a training on own answers refuses before it draws anything, in words that name the flag or the line. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { GatewayError } from "../../../../src/base/errors.ts";
import type { OnlineOptions } from "../../../../src/jobs/training/online/options.ts";
import type { OpenJudges } from "../../../../src/jobs/training/online/train-online.ts";
import { createRegistry } from "../../../../src/registry/registry.ts";
import { cannedReward } from "../../../support/canned-reward.ts";
import { runCommand } from "../../../support/killed-command.ts";
import { jsonLines, tinyCheckpoint } from "../../../support/tiny-checkpoint.ts";
import { judgedBy, onlineOptions, promptFile, runOnline } from "../../../support/tiny-online.ts";
import { temporaryFolder, testRuntime } from "../../../support/workspace.ts";

const folder = temporaryFolder();
const runtime = testRuntime();
const at = (name: string) => join(folder, name);

let base: string;
let prompts: string;
beforeAll(async () => {
  base = await tinyCheckpoint(at("base"));
  prompts = promptFile(folder, 4);
});

/** Rewards by the registry, as the command has them. */
const judges: OpenJudges = async ({ loaded }) => {
  const registry = createRegistry({
    policies: [loaded.policy],
    rewards: [cannedReward((text) => text.length)],
    presets: [],
    defaultReward: "canned",
    created: 1,
    clock: systemClock,
  });
  return {
    reward: (asked) =>
      asked === null ? registry.defaultReward! : registry.reward(asked, "--reward"),
    dispose: () => loaded.engine.dispose(),
  };
};

let asked = 0;
async function refusal(
  name: string,
  changes: Partial<OnlineOptions> = {},
  { file = prompts, by = judges, lossOptions = {} as Record<string, unknown> } = {},
): Promise<string> {
  const out = at(`refused-${asked++}`);
  const options = onlineOptions(name, { base, out, prompts: file, lossOptions }, changes);
  try {
    await runOnline(runtime, by, options);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    expect(existsSync(join(out, "rollouts.jsonl"))).toBe(false);
    return error.message;
  }
  throw new Error("nothing was refused");
}

const source = (file: string) => ({
  source: file,
  format: null,
  badRows: "refuse" as const,
  seed: 0,
});

describe("what is refused", () => {
  test("a group of one where answers to a prompt are compared; not where they are not", async () => {
    for (const name of ["grpo", "rloo", "online-dpo", "raft++"])
      expect(await refusal(name, { k: 1 })).toContain(`${name} compares the answers to a prompt`);
    const options = onlineOptions(
      "reinforce",
      { base, out: at("one"), prompts },
      { k: 1, steps: 1 },
    );
    await expect(runOnline(runtime, judges, options)).resolves.toBeTruthy();
  });

  test("updates that would learn from answers older than allowed", async () => {
    const said = await refusal("grpo", { updatesPerRollout: 6, stalenessMax: 4 });
    expect(said).toContain("5 updates old, and 4 are allowed");
    expect(await refusal("grpo", { minibatch: 1, batch: 8, stalenessMax: 2 })).toContain(
      "7 updates old",
    );
  });

  test("a minibatch of more prompts than a rollout has", async () => {
    expect(await refusal("grpo", { minibatch: 9 })).toContain("9 of a rollout's 4 prompts");
  });

  test("a penalty that would count twice", async () => {
    const said = await refusal("grpo", { rewardKl: 0.1 }, { lossOptions: { kl_weight: 0.1 } });
    expect(said).toContain("would count twice");
  });

  test("patience with nothing to wait for", async () => {
    expect(await refusal("grpo", { patience: 2 })).toContain("nothing is evaluated");
  });

  test("an unknown reward, with those that are known", async () => {
    expect(await refusal("grpo", { reward: "kindness" })).toContain("canned");
  });

  test("options that a kind of reward does not take, under the flag's name", async () => {
    const said = await refusal("grpo", { reward: { kind: "length", tarGet: 3 } });
    expect(said).toContain("--reward.tarGet");
    expect(said).toContain("target");
  });

  test("prompts without a right answer where the reward compares with one, by file and line", async () => {
    const file = jsonLines(at("no-answers.jsonl"), [{ prompt: "a", answer: "1" }, { prompt: "b" }]);
    const said = await refusal("grpo", { reward: { kind: "exact-match" } }, { file });
    expect(said).toContain("line 2: it has no right answer");
    const prompts = { ...source(file), badRows: "drop" as const };
    const dropping = { reward: { kind: "exact-match" }, prompts, steps: 1 };
    const options = onlineOptions("grpo", { base, out: at("dropped"), prompts: file }, dropping);
    await expect(runOnline(runtime, judges, options)).resolves.toBeTruthy();
  });

  test("right answers that the reward cannot read", async () => {
    const file = jsonLines(at("words.jsonl"), [{ prompt: "a", answer: "yellow" }]);
    const said = await refusal("grpo", { reward: { kind: "numeric-match" } }, { file });
    expect(said).toContain("'yellow' is not one number");
  });

  test("a reward that only compares, except where answers are compared", async () => {
    const pairwise = {
      ...cannedReward(() => 0),
      comparesPairs: true as const,
      scoresAlone: false,
      open: () => ({
        score: () => Promise.reject(new Error("it only compares")),
        compare: async (a: string, b: string) => (a.length > b.length ? 1 : 0),
        close: () => {},
      }),
    };
    expect(await refusal("grpo", {}, { by: judgedBy(pairwise) })).toContain("compare");
    const options = onlineOptions("nash-md", { base, out: at("nash"), prompts }, { steps: 1 });
    const { steps } = await runOnline(runtime, judgedBy(pairwise), options);
    expect(steps[0]!.metrics["reward"]).toBeGreaterThanOrEqual(0);
    expect(steps[0]!.metrics["reward"]).toBeLessThanOrEqual(1);
  });

  test("files without prompts, empty prompts, and prompts that fill the context", async () => {
    const empty = at("empty.jsonl");
    writeFileSync(empty, "");
    expect(await refusal("grpo", {}, { file: empty })).toContain("empty.jsonl");
    const blank = jsonLines(at("blank.jsonl"), [{ prompt: "a" }, { prompt: " " }]);
    expect(await refusal("grpo", {}, { file: blank })).toContain("line 2: it has no prompt");
    const long = jsonLines(at("long.jsonl"), [{ prompt: "a" }, { prompt: "word ".repeat(80) }]);
    expect(await refusal("grpo", {}, { file: long })).toMatch(/line 2: the prompt has \d+ tokens/);
    const all = { heldOut: 0.999999, evaluate: 1, prompts: source(prompts) };
    expect(await refusal("grpo", all)).toContain("held out");
  });

  test("too little memory, with the number", async () => {
    expect(await refusal("grpo", { memoryBytesMax: 2 ** 20 })).toContain("of memory");
  });
});

// Each run starts a process, which takes seconds on a busy machine.
describe("the command", { timeout: 60_000 }, () => {
  const given = () => ["--base", base, "--prompts", prompts, "--out", at("command")];

  test("refuses unknown flags, and options of another loss than the one that is asked for", async () => {
    const unknown = await runCommand(["train", "grpo", ...given(), "--clip", "1"]);
    expect(unknown).toMatchObject({ code: 2 });
    expect(unknown.said).toContain("--clip");
    const pairs = ["--pair-loss", "ipo", "--beta", "0.2"];
    const other = await runCommand(["train", "online-dpo", ...given(), ...pairs]);
    expect(other).toMatchObject({ code: 2 });
    expect(other.said).toContain("give --pair-options");
  });

  test("refuses rows where prompts are wanted only if they have none", async () => {
    const wrong = await runCommand(["train", "rloo", ...given(), "--reward", '{"kind":"lenght"}']);
    expect(wrong).toMatchObject({ code: 2 });
    expect(wrong.said).toContain("there is no kind of reward 'lenght'");
  });
});

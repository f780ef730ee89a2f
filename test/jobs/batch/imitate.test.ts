/** Imitation in iterations: what is learnt from what, and that an interruption does not show. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { configured } from "../../../src/commands/sampling.ts";
import { servingOf } from "../../../src/commands/serving.ts";
import { goldReward } from "../../../src/corpus/index.ts";
import { loadDataset } from "../../../src/datasets/read.ts";
import type { PairRow } from "../../../src/datasets/types.ts";
import { loadDemonstrations, ownPairs } from "../../../src/jobs/batch/demonstrations.ts";
import { discriminator, type ImitateOptions, imitate } from "../../../src/jobs/batch/imitate.ts";
import type { PromptOptions } from "../../../src/jobs/batch/prompts.ts";
import { openBase } from "../../../src/jobs/training/base.ts";
import { runCommand } from "../../support/killed-command.ts";
import {
  jsonLines,
  pairRows,
  supervisedRows,
  tinyCheckpoint,
} from "../../support/tiny-checkpoint.ts";
import { usualTraining } from "../../support/training-options.ts";
import { temporaryFolder, testRuntime } from "../../support/workspace.ts";

const folder = temporaryFolder();
const runtime = testRuntime();
const at = (...names: string[]) => join(folder, ...names);
const json = (...names: string[]) => JSON.parse(readFileSync(at(...names), "utf8"));
const firstStep = (...names: string[]) =>
  JSON.parse(readFileSync(at(...names, "metrics.jsonl"), "utf8").split("\n")[0]!);

let policy: string;
const demonstrations = at("demonstrations.jsonl");
beforeAll(async () => {
  policy = await tinyCheckpoint(at("base"));
  jsonLines(demonstrations, supervisedRows(24));
});

const source = (changes: Partial<PromptOptions> = {}): PromptOptions => ({
  source: demonstrations,
  format: null,
  badRows: "refuse",
  seed: 3,
  ...changes,
});

describe("demonstrations", () => {
  test("are a file's answers by prompt, several to one prompt among them", async () => {
    const rows = [
      { prompt: "Say red", completion: "Red." },
      { prompt: "Say  blue", completion: "Blue." },
      { prompt: "Say red", completion: "It is red." },
    ];
    const file = jsonLines(at("few.jsonl"), rows);
    const { given, answers } = await loadDemonstrations(source({ source: file }));
    expect(given.prompts).toHaveLength(2);
    const shown = new Set(given.prompts.map(({ key }) => answers.get(key)));
    expect(shown).toEqual(new Set([["Red.", "It is red."], ["Blue."]]));
    const pairs = jsonLines(at("pairs.jsonl"), pairRows(2));
    await expect(loadDemonstrations(source({ source: pairs }))).rejects.toThrow(
      /pairs.jsonl, line 1: it is no prompt with its answer/,
    );
  });

  test("of the corpus are right, and the same for the same seed", async () => {
    const asked = source({ source: "corpus:arithmetic:20" });
    const { given, answers, sha256 } = await loadDemonstrations(asked);
    for (const { key, corpus } of given.prompts)
      expect(goldReward(corpus!, answers.get(key)![0]!).correct).toBe(true);
    expect((await loadDemonstrations(asked)).sha256).toBe(sha256);
  });

  test("stand against own answers that are others, ended and not empty", async () => {
    const { given, answers } = await loadDemonstrations(source());
    const [first] = given.prompts;
    const own = (text: string, isFinished = true) => ({
      text,
      isFinished,
      reward: null,
      tokens: 1,
      logprob: 0,
    });
    const sampled = [
      {
        seed: 1,
        stopped: "complete",
        chosen: [],
        answers: [own("No."), own(" It is  red."), own(" "), own("It", false)],
      },
    ];
    const { rows, ...counts } = ownPairs([first!], sampled, { answers }, false);
    expect(rows).toEqual([
      {
        kind: "pair",
        prompt: first!.prompt,
        chosen: "It is red.",
        rejected: "No.",
        demonstrated: true,
        place: first!.place,
      },
    ]);
    expect(counts).toEqual({ imitated: 1, unfit: 2 });
    expect(ownPairs([first!], sampled, { answers }, true).rows).toHaveLength(2);
  });
});

async function run(name: string, changes: Partial<ImitateOptions>) {
  const config = await configured({ policy, threads: "1", device: "cpu" });
  const options: ImitateOptions = {
    imitation: "spin",
    lossOptions: { beta: 0.1 },
    prompts: source(),
    policy,
    own: 2,
    takesUnfinished: true,
    learning: null,
    iterations: 2,
    iterationPrompts: null,
    patience: 0,
    heldOut: 0.2,
    evaluate: 4,
    temperature: 1,
    topP: 1,
    maxTokens: 8,
    seed: 3,
    out: at(name),
    training: {
      ...usualTraining,
      steps: null,
      evaluateEvery: null,
      contextTokens: null,
    },
    ...changes,
  };
  const training = { onStart: () => {}, onReferences: () => {}, onStep: () => {} };
  const listener = { onProgress: () => {}, onIteration: () => {}, training };
  return imitate(runtime, servingOf(config, {}), { options, listener });
}

describe("self-play", () => {
  test("takes each policy for the next one's opponent and reference: it begins at ln 2 every time", async () => {
    const summary = await run("spin", {});
    expect(summary.iterations.map(({ iteration }) => iteration)).toEqual([0, 1, 2]);
    const method = discriminator("spin");
    let base = (await openBase(policy, method)).sha256;
    for (const i of [1, 2]) {
      const stage = ["spin", `iteration-${i}`] as const;
      expect(json(...stage, "policy", "training", "manifest.json")["--base"]).toBe(base);
      expect(firstStep(...stage, "policy")["loss"]).toBeCloseTo(Math.LN2, 6);
      base = (await openBase(at(...stage, "policy"), method)).sha256;
      const { rows } = await loadDataset(at(...stage, "pairs.jsonl"));
      const own = new Set(
        readFileSync(at(...stage, "own.jsonl"), "utf8")
          .trim()
          .split("\n")
          .flatMap((line): string[] => JSON.parse(line).completions),
      );
      const pairs = rows as PairRow[]; // written as such
      expect(pairs.length).toBe(summary.iterations[i]!.made!.pairs);
      for (const { chosen, rejected, demonstrated } of pairs) {
        expect(chosen).toMatch(/^It is \w+\.$/);
        expect(own.has(rejected)).toBe(true);
        expect(demonstrated).toBe(true);
      }
    }
    const answers = (i: number) => readFileSync(at("spin", `iteration-${i}`, "own.jsonl"), "utf8");
    expect(answers(1)).not.toBe(answers(2)); // of another policy
  }, 60_000);
});

describe("a reward and a policy in turn", () => {
  test("go on from the last reward and the last policy, labelled pairs beside demonstrations", async () => {
    const preferences = [jsonLines(at("labelled.jsonl"), pairRows(12))];
    const learning = {
      preferences,
      base: null,
      epochs: 2,
      learningRate: 0.01,
      improve: "dpo",
      improveOptions: { beta: 0.1 },
      k: 3,
    } as const;
    const lossOptions = { demonstration_weight: 1, preference_weight: 1 };
    const summary = await run("aihf", { imitation: "aihf", lossOptions, learning });
    const method = discriminator("aihf");
    const first = firstStep("aihf", "iteration-1", "reward");
    expect(first["loss"]).toBeCloseTo(2 * Math.LN2, 5); // a head of zeros, of both kinds of pairs
    expect(json("aihf", "iteration-2", "reward", "training", "manifest.json")["--base"]).toBe(
      (await openBase(at("aihf", "iteration-1", "reward"), method)).sha256,
    );
    expect(firstStep("aihf", "iteration-2", "reward")["loss"]).toBeLessThan(first["loss"]);
    for (const { made } of summary.iterations.slice(1)) {
      expect(made!.reward!.steps).toBeGreaterThan(1);
      expect(made!.selection!.rows).toBeGreaterThan(0);
    }
    const samples = readFileSync(at("aihf", "iteration-1", "samples.jsonl"), "utf8")
      .trim()
      .split("\n");
    for (const line of samples) expect(JSON.parse(line).rewards).toHaveLength(3);
    expect(firstStep("aihf", "iteration-2", "policy")["loss"]).toBeCloseTo(Math.LN2, 6);
  }, 60_000);

  test("are refused without pairs that can be told apart, before anything is trained", async () => {
    const cut = { takesUnfinished: false, maxTokens: 1, iterations: 1, heldOut: 0, evaluate: 0 };
    await expect(run("none", { ...cut })).rejects.toThrow(
      /none of the policy's answers can be told/,
    );
  });
});

test("killed at every stage it comes to what it would have come to", async () => {
  const flags =
    "--own 2 --k 3 --held-out 0.2 --evaluate 4 --iterations 2 --max-tokens 8 --unfinished take --batch 8 --pass-tokens 256 " +
    "--learning-rate 0.01 --reward-learning-rate 0.01 --checkpoint-every 2 --threads 1 --device cpu";
  const data = ["--demonstrations", demonstrations, "--policy", policy];
  const command = ["batch", "irl", ...data, ...flags.split(" ")];
  const go = (out: string, killAt?: string) => runCommand([...command, "--out", at(out)], killAt);
  const through = await go("through");
  expect(through.code, through.said).toBe(0);
  const killings = ["\n2/", "iteration 1, sampling: 8/", "iteration 2, own answers: 8/"];
  for (const killAt of killings) {
    const { code, said } = await go("killed", killAt);
    expect(said).toContain(killAt);
    expect(code).toBeNull(); // by a signal
  }
  expect((await go("killed")).code).toBe(0);
  const names = ["own.jsonl", "pairs.jsonl", "samples.jsonl", "learnt.jsonl", "evaluation.jsonl"];
  const models = ["reward", "policy"].map((name) => join(name, "model.safetensors"));
  for (const i of [1, 2])
    for (const name of [...names, ...models]) {
      const bytes = (out: string) => readFileSync(at(out, `iteration-${i}`, name));
      expect(bytes("killed").equals(bytes("through")), name).toBe(true);
    }
}, 600_000);

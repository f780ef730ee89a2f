/** The first step of a training on own answers, computed a second time: log-probabilities by a plain forward pass, the rest by hand. */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { Checkpoint } from "../../../../src/checkpoints/checkpoint.ts";
import type { OnlineOptions } from "../../../../src/jobs/training/online/options.ts";
import { Tokenizer } from "../../../../src/text/tokenizer.ts";
import { cannedReward } from "../../../support/canned-reward.ts";
import { sum } from "../../../support/naive.ts";
import { tinyCheckpoint } from "../../../support/tiny-checkpoint.ts";
import {
  judgedBy,
  onlineOptions,
  promptFile,
  type RolloutLine,
  rolloutLines,
  runOnline,
} from "../../../support/tiny-online.ts";
import { runPacked } from "../../../support/transformers.ts";
import { temporaryFolder, testRuntime } from "../../../support/workspace.ts";

const folder = temporaryFolder();
const runtime = testRuntime();
const at = (name: string) => join(folder, name);

let base: string;
let prompts: string;
let tokenizer: Tokenizer;
beforeAll(async () => {
  base = await tinyCheckpoint(at("base"), {}, 10);
  prompts = promptFile(folder, 4);
  tokenizer = await Tokenizer.load(base);
});

const reward = cannedReward((text) => (text.length % 5) / 2);

/** log softmax(logits / T) of each answer's tokens under a checkpoint: [lines][answers][tokens]. */
async function logpsOf(checkpoint: string, lines: readonly RolloutLine[], temperature = 1) {
  const { config, ...file } = await opened(checkpoint);
  const all = lines.flatMap(({ prompt, metadata }) => {
    const ids = tokenizer.encode(prompt, { addSpecial: true });
    return metadata.tokens.map((tokens) => ({ ids, tokens }));
  });
  const model = { config, head: "logits" as const, values: file.values };
  const rows = await runPacked(
    runtime,
    model,
    all.map(({ ids, tokens }) => [...ids, ...tokens].slice(0, -1)),
    64,
  );
  const flat = all.map(({ ids, tokens }, i) =>
    tokens.map((id, t) => {
      const logits = rows[i]![ids.length - 1 + t]!.map((x) => x / temperature);
      const largest = Math.max(...logits);
      return logits[id]! - largest - Math.log(sum(logits.map((x) => Math.exp(x - largest))));
    }),
  );
  return lines.map(({ metadata: { tokens } }) => flat.splice(0, tokens.length));
}

async function opened(folderOf: string) {
  const checkpoint = await Checkpoint.open(folderOf);
  const values = (name: string) => checkpoint.weight(name).data;
  return { config: checkpoint.config, values };
}

async function firstStep(
  name: string,
  out: string,
  { lossOptions = {}, ...changes }: Partial<OnlineOptions> = {},
) {
  const asked = { base, out: at(out), prompts, lossOptions };
  const found = await runOnline(
    runtime,
    judgedBy(reward),
    onlineOptions(name, asked, { steps: 1, ...changes }),
  );
  return { ...found, lines: rolloutLines(at(out)), metrics: found.steps[0]!.metrics };
}

const mean = (values: readonly number[]) => sum(values) / values.length;
const closeTo = (actual: readonly number[], expected: readonly number[], within: number) => {
  expect(actual).toHaveLength(expected.length);
  for (const [i, each] of expected.entries())
    expect(Math.abs(actual[i]! - each)).toBeLessThan(within);
};

describe("the log-probabilities at sampling", () => {
  test("are those of the policy in training: on its own answers the ratio is 1, to float32's accuracy", async () => {
    const { lines, metrics } = await firstStep("grpo", "ratio");
    const again = await logpsOf(base, lines);
    closeTo(
      lines.flatMap(({ metadata }) => metadata.logprobs.flat()),
      again.flat(2),
      2e-5,
    );
    expect(Math.abs(metrics["sampling_kl"]!)).toBeLessThan(1e-7);
    expect(metrics["clipped"]).toBe(0);
  });

  test("are those of the law that drew, at another temperature than 1 as well", async () => {
    const { lines, metrics } = await firstStep("grpo", "tempered", { temperature: 0.7 });
    const again = await logpsOf(base, lines, 0.7);
    closeTo(
      lines.flatMap(({ metadata }) => metadata.logprobs.flat()),
      again.flat(2),
      2e-5,
    );
    expect(Math.abs(metrics["sampling_kl"]!)).toBeLessThan(1e-7);
  });

  test("are those of the policy of now after an update, though its weights were copied nowhere", async () => {
    const settings = { steps: 2, learningRate: 0.05, checkpointEvery: 1 };
    await firstStep("rloo", "second", settings);
    // the same two steps cut after the first write the weights that the second rollout was drawn with
    await firstStep("rloo", "cut", { ...settings, steps: 1 });
    const second = rolloutLines(at("second")).filter(({ metadata }) => metadata.rollout === 1);
    const again = await logpsOf(at("cut"), second);
    closeTo(
      second.flatMap(({ metadata }) => metadata.logprobs.flat()),
      again.flat(2),
      2e-5,
    );
    const before = (await logpsOf(base, second)).flat(2);
    expect(
      Math.max(...before.map((logp, i) => Math.abs(logp - again.flat(2)[i]!))),
    ).toBeGreaterThan(0.01);
  });
});

describe("the loss of the first step", () => {
  test("of rloo is −mean over answers of (r − mean of the others)·Σ log π", async () => {
    const { lines, metrics } = await firstStep("rloo", "rloo");
    const logps = await logpsOf(base, lines);
    const terms = lines.flatMap(({ rewards }, i) =>
      rewards.map((own, j) => {
        const others = rewards.filter((_, other) => other !== j) as number[];
        return (own! - mean(others)) * sum(logps[i]![j]!);
      }),
    );
    expect(metrics["loss"]).toBeCloseTo(-mean(terms), 4);
    expect(metrics["reward"]).toBeCloseTo(
      mean(lines.flatMap(({ rewards }) => rewards as number[])),
      12,
    );
    expect(metrics["length"]).toBe(
      mean(lines.flatMap((each) => each.metadata.tokens.map((t) => t.length))),
    );
  });

  test("of grpo with a penalty is 0 on its own answers: ratios are 1, advantages sum to 0, the reference is the policy", async () => {
    const lossOptions = { kl_weight: 0.1, aggregation: "answer-mean" };
    const { metrics } = await firstStep("grpo", "grpo", { lossOptions });
    expect(Math.abs(metrics["loss"]!)).toBeLessThan(1e-6);
    expect(Math.abs(metrics["kl"]!)).toBeLessThan(1e-7);
    expect(metrics["gradient_norm"]).toBeGreaterThan(0.01);
  });

  test("of ppo is half the mean squared return by a head of zeros, less the mean of whitened advantages", async () => {
    const { lines, metrics } = await firstStep("ppo", "ppo", {
      lossOptions: { value_weight: 0.5, value_clip: 100 },
      lambda: 0.9,
    });
    expect(
      lines.flatMap(({ metadata }) => metadata.values.flat()).every((value) => value === 0),
    ).toBe(true);
    // with values of 0 an advantage before whitening is r·λ^(tokens that follow), and so is the return
    const returns = lines.flatMap(({ rewards, metadata }) =>
      metadata.tokens.flatMap((tokens, j) =>
        tokens.map((_, t) => rewards[j]! * 0.9 ** (tokens.length - 1 - t)),
      ),
    );
    expect(metrics["value_loss"]).toBeCloseTo(0.5 * mean(returns.map((each) => each * each)), 5);
    expect(metrics["policy_loss"]).toBeCloseTo(0, 5); // whitened: their mean is 0, and every ratio is 1
    expect(metrics["loss"]).toBeCloseTo(0.5 * metrics["value_loss"]!, 5);
  });

  test("of online-dpo is ln 2: of each prompt's best and worst answer both models say the same", async () => {
    const { metrics } = await firstStep("online-dpo", "dpo");
    expect(metrics["loss"]).toBeCloseTo(Math.LN2, 6);
    expect(metrics["margin"]).toBeCloseTo(0, 6);
  });

  test("falls when the same answers are asked after the step", async () => {
    const { lines } = await firstStep("rloo", "fallen", { learningRate: 0.003 });
    const lossUnder = async (checkpoint: string) => {
      const logps = await logpsOf(checkpoint, lines);
      const centred = lines.flatMap(({ rewards }, i) =>
        rewards.map((own, j) => (own! - mean(rewards as number[])) * sum(logps[i]![j]!)),
      );
      return -mean(centred);
    };
    expect(await lossUnder(at("fallen"))).toBeLessThan((await lossUnder(base)) - 0.01);
  });
});

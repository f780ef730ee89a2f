/** Policies learn what is rewarded: a bandit whose arms are the first tokens of an answer. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import type { ModelConfig } from "../../src/checkpoints/config.ts";
import type { AdamOptions } from "../../src/onnx/optimizers.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { groupNormalised, whitened } from "../../src/train/advantages.ts";
import type { StepData } from "../../src/train/batches.ts";
import { actorCriticStep, policyStep, type Rollout } from "../../src/train/families/policy.ts";
import type { Loss } from "../../src/train/losses/define.ts";
import { grpo } from "../../src/train/losses/policy/clipped.ts";
import { ppo } from "../../src/train/losses/policy/ppo.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { softmax, sum } from "../support/naive.ts";
import { policyConfig, rewardConfig, startingWeights } from "../support/tiny-training.ts";
import { runPacked } from "../support/transformers.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const prompt = [1, 2];
const REWARDED = 7;

/** The law of the first token after the prompt. */
async function law(
  config: ModelConfig,
  weights: ReadonlyMap<string, Float32Array>,
): Promise<number[]> {
  const values = (name: string) => weights.get(name)!;
  const [rows] = await runPacked(runtime, { config, head: "logits", values }, [prompt], 12);
  return softmax(rows!.at(-1)!);
}

/** The arm under which a uniform number falls. */
function draw(law: readonly number[], uniform: number): number {
  const below = law.map((_, arm) => sum(law.slice(0, arm + 1)));
  return below.findIndex((share) => uniform < share);
}

/** Steps of 24 answers of one token each; what a step learns from, the caller makes of the drawn arms. */
async function learn(
  config: ModelConfig,
  loss: Loss,
  steps: number,
  batch: (rollouts: Rollout[], rewards: number[]) => StepData,
): Promise<{ before: number; after: number }> {
  const random = createRandom(1);
  const optimizer: AdamOptions = { schedule: (g) => g.scalar(0.02), weightDecay: 0 };
  const options = { config, loss, optimizer, threads: 1 };
  const trainer = await Trainer.create(runtime, options, startingWeights(config));
  const chance = async () => (await law(config, trainer.state()))[REWARDED]!;
  const before = await chance();
  for (let step = 0; step < steps; step++) {
    const now = await law(config, trainer.state());
    const arms = Array.from({ length: 24 }, () => draw(now, random.uniform()));
    const rollouts = arms.map((arm) => ({
      prompt,
      completion: [arm],
      logps: [Math.log(now[arm]!)],
      reference: null,
      advantages: [0],
    }));
    const rewards = arms.map((arm) => (arm === REWARDED ? 1 : 0));
    await trainer.run(batch(rollouts, rewards));
  }
  const after = await chance();
  trainer.dispose();
  return { before, after };
}

const worth = (rollouts: readonly Rollout[], advantages: readonly number[]) =>
  rollouts.map((rollout, i) => ({ ...rollout, advantages: [advantages[i]!] }));

test("grpo makes the one rewarded token likely", async () => {
  const { before, after } = await learn(policyConfig, grpo, 14, (rollouts, rewards) =>
    policyStep(worth(rollouts, groupNormalised(rewards)), 12),
  );
  expect(before).toBeLessThan(0.07);
  expect(after).toBeGreaterThan(0.8);
});

test("ppo does so too, with a value head on the same model", async () => {
  const { before, after } = await learn(rewardConfig, ppo, 10, (rollouts, rewards) => {
    const judged = worth(rollouts, whitened(rewards.map((reward) => reward - 0.5)));
    return actorCriticStep(
      judged.map((rollout, i) => ({ ...rollout, values: [0.5], returns: [rewards[i]!] })),
      12,
    );
  });
  expect(before).toBeLessThan(0.07);
  expect(after).toBeGreaterThan(0.4);
});

test("an entropy bonus alone is the entropy of the law, and makes it uniform", async () => {
  const lossOptions = { entropy_weight: 1 };
  const optimizer: AdamOptions = { schedule: (g) => g.scalar(0.05), weightDecay: 0 };
  const sharpened = new Map(startingWeights(policyConfig));
  const table = "model.embed_tokens.weight"; // tied: larger entries make sharper laws
  sharpened.set(
    table,
    sharpened.get(table)!.map((x) => 30 * x),
  );
  const options = { config: policyConfig, loss: grpo, lossOptions, optimizer, threads: 1 };
  const trainer = await Trainer.create(runtime, options, sharpened);
  const rollout = { prompt, completion: [3], logps: [0], reference: null, advantages: [0] };
  const first = await trainer.run(policyStep([rollout], 12));
  const entropy = -sum((await law(policyConfig, sharpened)).map((p) => p * Math.log(p)));
  expect(first["entropy"]).toBeCloseTo(entropy, 4);
  expect(first["loss"]).toBeCloseTo(-entropy, 4);
  for (let i = 0; i < 30; i++) await trainer.run(policyStep([rollout], 12));
  const last = await trainer.run(policyStep([rollout], 12));
  trainer.dispose();
  expect(entropy).toBeLessThan(2.5);
  expect(last["entropy"]).toBeGreaterThan(Math.log(policyConfig.vocabSize) - 0.1);
});

/** Policies learn what is rewarded: a bandit whose arms are the first tokens of an answer. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { groupNormalised } from "../../src/train/advantages.ts";
import { policyStep } from "../../src/train/families/policy.ts";
import { grpo } from "../../src/train/losses/policy/clipped.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { softmax, sum } from "../support/naive.ts";
import { policyConfig, startingWeights } from "../support/tiny-training.ts";
import { runPacked } from "../support/transformers.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const prompt = [1, 2];
const REWARDED = 7;

/** The law of the first token after the prompt. */
async function law(weights: ReadonlyMap<string, Float32Array>): Promise<number[]> {
  const values = (name: string) => weights.get(name)!;
  const model = { config: policyConfig, head: "logits", values } as const;
  const [rows] = await runPacked(runtime, model, [prompt], 12);
  return softmax(rows!.at(-1)!);
}

/** The arm under which a uniform number falls. */
function draw(law: readonly number[], uniform: number): number {
  const below = law.map((_, arm) => sum(law.slice(0, arm + 1)));
  return below.findIndex((share) => uniform < share);
}

test("grpo makes the one rewarded token likely", async () => {
  const random = createRandom(1);
  const trainer = await Trainer.create(
    runtime,
    {
      config: policyConfig,
      loss: grpo,
      optimizer: { schedule: (g) => g.scalar(0.02), weightDecay: 0 },
      threads: 1,
    },
    startingWeights(policyConfig),
  );
  const before = await law(trainer.state());
  for (let step = 0; step < 14; step++) {
    const now = await law(trainer.state());
    const arms = Array.from({ length: 24 }, () => draw(now, random.uniform()));
    const advantages = groupNormalised(arms.map((arm) => (arm === REWARDED ? 1 : 0)));
    const rollouts = arms.map((arm, i) => ({
      prompt,
      completion: [arm],
      logps: [Math.log(now[arm]!)],
      reference: null,
      advantages: [advantages[i]!],
    }));
    await trainer.run(policyStep(rollouts, 12));
  }
  const after = await law(trainer.state());
  trainer.dispose();
  expect(before[REWARDED]).toBeLessThan(0.07);
  expect(after[REWARDED]).toBeGreaterThan(0.8);
});

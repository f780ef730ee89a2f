/** What an update leaves out changes nothing: the same weights as of a step over every answer by itself. */
import { expect, test } from "vitest";
import { compileOptions } from "../../../../src/base/options.ts";
import { onlineMethods } from "../../../../src/jobs/training/methods.ts";
import type { CreditedAnswer } from "../../../../src/jobs/training/online/credit.ts";
import { policyUpdate } from "../../../../src/jobs/training/online/updates.ts";
import { policyStep } from "../../../../src/train/families/policy.ts";
import { lossNamed } from "../../../../src/train/losses/index.ts";
import { AGGREGATIONS } from "../../../../src/train/losses/policy/surrogate.ts";
import { Trainer } from "../../../../src/train/trainer.ts";
import { policyConfig, startingWeights } from "../../../support/tiny-training.ts";
import { testRuntime } from "../../../support/workspace.ts";

const runtime = testRuntime();
const config = { ...policyConfig, contextTokens: 16 };

const prompt = (key: string, ids: number[]) => ({
  ids,
  prompt: { text: key },
  key,
  place: { file: "f", line: 1 },
  answer: null,
  corpus: null,
});
const [one, two] = [prompt("one", [1, 2, 3]), prompt("two", [4])];

const answer = (from: typeof one, completion: number[], advantage: number): CreditedAnswer => ({
  from,
  prompt: from.ids,
  completion,
  logps: completion.map((id) => -2.9 - id / 100), // not the policy's: ratios differ from 1
  reference: null,
  advantages: completion.map(() => advantage),
  values: [],
  returns: [],
});

const answers = [
  answer(one, [7, 8, 0], 0.5),
  answer(one, [7, 8, 0], 0.5),
  answer(one, [9, 0], 0),
  answer(one, [7, 8, 0], 0.5),
  answer(one, [5, 5, 5, 0], -1.5),
  answer(two, [7, 8, 0], -0.25),
  answer(two, [6, 0], 0.25),
  answer(two, [6, 0], 0.25),
];

async function after(name: string, lossOptions: Record<string, unknown>, isWhole: boolean) {
  const loss = lossNamed(name);
  const options = compileOptions(loss, name)(lossOptions);
  const trainer = await Trainer.create(
    runtime,
    {
      config,
      loss,
      lossOptions: options,
      optimizer: { schedule: (g) => g.scalar(0.01) },
      threads: 1,
    },
    startingWeights(config),
  );
  const update = policyUpdate(answers, { loss, lossOptions: options, passTokens: 12 });
  const metrics = isWhole
    ? await trainer.run(policyStep(answers, 12))
    : await trainer.runPasses(update.passes);
  const weights = trainer.state();
  trainer.dispose();
  return {
    metrics,
    weights,
    tokens: update.passes.reduce((n, { data }) => n + data.packed.ids.length, 0),
  };
}

const names = onlineMethods.flatMap(({ loss }) => (loss.family === "policy" ? [loss.name] : []));

test.each(names.flatMap((name) => AGGREGATIONS.map((aggregation) => [name, aggregation] as const)))(
  "%s, aggregated by %s, learns the same from what is left",
  async (name, aggregation) => {
    const whole = await after(name, { aggregation }, true);
    const some = await after(name, { aggregation }, false);
    expect(some.metrics["loss"]).toBeCloseTo(whole.metrics["loss"]!, 5);
    expect(some.metrics["gradient_norm"]).toBeCloseTo(whole.metrics["gradient_norm"]!, 5);
    for (const [weight, values] of whole.weights) {
      const found = some.weights.get(weight)!;
      if (!weight.startsWith("first.")) continue; // gradients: Adam's step has their sign alone
      const difference = values.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - found[i]!)),
        0,
      );
      expect(difference, weight).toBeLessThan(1e-6);
    }
  },
);

test("a penalty and a bonus are of answers without advantage too", () => {
  const options = { loss: lossNamed("grpo"), passTokens: 100 };
  const tokensOf = (lossOptions: Record<string, unknown>) =>
    policyUpdate(answers, { ...options, lossOptions }).passes.reduce(
      (n, { data }) => n + data.int64["labels"]!.length,
      0,
    );
  expect(tokensOf({ kl_weight: 0 })).toBe(3 + 4 + 3 + 2);
  for (const asked of [{ kl_weight: 0.1 }, { entropy_weight: 0.01 }])
    expect(tokensOf(asked)).toBe(3 + 2 + 4 + 3 + 2);
});

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import type { PolicyLoss } from "../../../../src/train/losses/define.ts";
import { grpo } from "../../../../src/train/losses/policy/clipped.ts";
import { nashMd, reinforce } from "../../../../src/train/losses/policy/reinforce.ts";
import { sum } from "../../../support/naive.ts";
import { runPolicyLoss } from "../../../support/policy-terms.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

/**
 * ∂(expected loss)/∂logits of a softmax over answers of one token, all answers weighted by their
 * probability: what the average over very many samples would be.
 */
async function expectedSlope(
  loss: PolicyLoss,
  policy: readonly number[],
  { advantages, reference = policy }: { advantages: number[]; reference?: readonly number[] },
  options: Record<string, unknown> = {},
): Promise<number[]> {
  const terms = {
    logps: policy.map(Math.log),
    reference: reference.map(Math.log),
    advantages,
    owners: policy.map((_, i) => i),
  };
  const { slopes } = await runPolicyLoss(runtime, loss, terms, options);
  const perAnswer = slopes.map((slope, i) => slope * policy.length * policy[i]!); // mean → expectation
  return policy.map((p, z) => sum(perAnswer.map((slope, i) => slope * ((i === z ? 1 : 0) - p))));
}

const expectClose = (actual: readonly number[], expected: readonly number[], digits = 9) => {
  for (const [i, each] of expected.entries()) expect(actual[i]).toBeCloseTo(each, digits);
};

describe("reinforce", () => {
  test("is minus the advantages times the log-probabilities, summed over an answer", async () => {
    const terms = { logps: [0.5, 0.4, 0.8].map(Math.log), advantages: [0.3, 0.3, 0.2] };
    const { loss, slopes } = await runPolicyLoss(runtime, reinforce, terms);
    expect(loss).toBeCloseTo(0.5274600839930721, 12);
    expectClose(slopes, [-0.3, -0.3, -0.2], 12);
  });

  test("climbs the expected reward: its gradient for the bandit with rewards 1, 0 and 2", async () => {
    const third = [1 / 3, 1 / 3, 1 / 3];
    expectClose(await expectedSlope(reinforce, third, { advantages: [1, 0, 2] }), [
      0,
      1 / 3,
      -1 / 3,
    ]);
  });

  test("is unbiased by a baseline", async () => {
    const policy = [0.2, 0.3, 0.5];
    const plain = await expectedSlope(reinforce, policy, { advantages: [1, 2, 0] });
    const based = await expectedSlope(reinforce, policy, { advantages: [0, 1, -1] });
    expectClose(based, plain, 12);
  });

  test("credits each answer with its own reward: samples of two arms", async () => {
    const two = { logps: [0.5, 0.5].map(Math.log), advantages: [1, 0], owners: [0, 1] };
    const { slopes } = await runPolicyLoss(runtime, reinforce, two);
    // logits' ascent: slopes through the softmax
    const ascent = [-slopes[0]! * 0.5 + slopes[1]! * 0.5, slopes[0]! * 0.5 - slopes[1]! * 0.5];
    expectClose(ascent, [0.25, -0.25], 12);
  });
});

describe("the penalty in the loss", () => {
  const [policy, reference] = [
    [0.5, 0.5],
    [0.8, 0.2],
  ];

  test("k2 has the gradient of KL(π ‖ reference), towards the reference", async () => {
    const options = { kl_weight: 1 };
    const none = { advantages: [0, 0], reference };
    expectClose(
      await expectedSlope(reinforce, policy, none, options),
      [-0.3465735903, 0.3465735903],
    );
    const rewarded = { advantages: [1, 0], reference };
    expectClose(
      await expectedSlope(reinforce, policy, rewarded, { kl_weight: 0.1 }),
      [-0.284657359, 0.284657359],
    );
  });

  test("k3 has another: its gradient is π − π_ref through the softmax", async () => {
    const options = { kl_weight: 1, kl_estimator: "k3" };
    const none = { advantages: [0, 0], reference };
    expectClose(await expectedSlope(reinforce, policy, none, options), [-0.3, 0.3]);
  });

  test("iterate is ρ − ln ρ − 1: 0, 0.3069 and 0.1931 at ratios of 1, 2 and ½", async () => {
    for (const [ratio, expected] of [
      [1, 0],
      [2, 0.3068528194],
      [0.5, 0.1931471806],
    ] as const) {
      const terms = { logps: [Math.log(ratio)], old: [0], advantages: [0] };
      const { loss } = await runPolicyLoss(runtime, grpo, terms, {
        kl_weight: 1,
        kl_estimator: "iterate",
      });
      expect(loss).toBeCloseTo(expected, 9);
    }
  });

  test("iterate gives the survey's example of GRPO", async () => {
    const terms = {
      logps: [1.1, 0.9, 1, 1.2].map(Math.log),
      old: [0, 0, 0, 0],
      advantages: [1, -1, -1, 1],
      owners: [0, 1, 2, 3],
    };
    const options = { kl_weight: 0.04, kl_estimator: "iterate", clip_low: 1, clip_high: 9 };
    const { loss } = await runPolicyLoss(runtime, grpo, terms, options);
    expect(loss).toBeCloseTo(-0.0997227122, 9);
  });

  test("has for KL(p ‖ q) of (½, ½) and (0.8, 0.2) the mean of k3", async () => {
    const terms = {
      logps: policy.map(Math.log),
      reference: reference.map(Math.log),
      advantages: [0, 0],
      owners: [0, 1],
    };
    const { metrics } = await runPolicyLoss(runtime, grpo, terms);
    expect(metrics["kl"]).toBeCloseTo(0.2231435513, 9);
  });
});

describe("nash-md", () => {
  const beats = [
    [0.5, 0.9, 0.2],
    [0.1, 0.5, 0.9],
    [0.8, 0.1, 0.5],
  ];

  test("rests at the equilibrium of the regularised game, and nowhere near it", async () => {
    // π ∝ π_ref·exp(P(· ≻ π)/τ) by iteration, damped; τ = 0.5
    const reference = [0.6, 0.3, 0.1];
    const against = (policy: number[]) =>
      beats.map((row) => sum(row.map((p, j) => p * policy[j]!)));
    let policy = [...reference];
    for (let i = 0; i < 2000; i++) {
      const tilted = against(policy).map((p, y) => reference[y]! * Math.exp(p / 0.5));
      policy = policy.map((p, y) => 0.9 * p + (0.1 * tilted[y]!) / sum(tilted));
    }
    const slopeAt = (at: number[]) => {
      const advantages = against(at).map((p) => p - 0.5);
      return expectedSlope(nashMd, at, { advantages, reference }, { kl_weight: 0.5 });
    };
    expectClose(await slopeAt(policy), [0, 0, 0], 8);
    expect(Math.max(...(await slopeAt(reference)).map(Math.abs))).toBeGreaterThan(0.01);
  });
});

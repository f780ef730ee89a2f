import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import { cispo } from "../../../../src/train/losses/policy/cispo.ts";
import { grpo } from "../../../../src/train/losses/policy/clipped.ts";
import { gspo } from "../../../../src/train/losses/policy/gspo.ts";
import { ppo } from "../../../../src/train/losses/policy/ppo.ts";
import { sapo } from "../../../../src/train/losses/policy/sapo.ts";
import { runPolicyLoss } from "../../../support/policy-terms.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const logs = (probabilities: number[]) => probabilities.map(Math.log);

describe("cispo", () => {
  test("has the gradient −min(ρ, c)·A: a large ratio is capped, not silenced", async () => {
    const terms = { logps: logs([0.5, 1, 2, 8]), old: [0, 0, 0, 0], advantages: [1, -1, 1, -1] };
    const { slopes } = await runPolicyLoss(runtime, cispo, terms, { ratio_max: 3 });
    const expected = [-0.5, 1, -2, 3].map((each) => each / 4); // mean over 4 tokens
    for (const [t, slope] of expected.entries()) expect(slopes[t]).toBeCloseTo(slope, 12);
  });
});

describe("gspo", () => {
  test("clips an answer's geometric mean ratio as a whole", async () => {
    // answers: ratios 2·½ → 1 and 1.1·1.1 → 1.1
    const terms = {
      logps: logs([2, 0.5, 1.1, 1.1]),
      old: [0, 0, 0, 0],
      advantages: [1, 1, 1, 1],
      owners: [0, 0, 1, 1],
    };
    const { loss, slopes, metrics } = await runPolicyLoss(runtime, gspo, terms, {
      clip_high: 0.05,
    });
    expect(loss).toBeCloseTo(-(1 + 1.05) / 2, 12);
    for (const [t, slope] of [-0.25, -0.25, 0, 0].entries())
      expect(slopes[t]).toBeCloseTo(slope, 12);
    expect(metrics["clipped"]).toBe(0.5);
  });

  test("is GRPO for answers of one token", async () => {
    const terms = {
      logps: logs([1.5, 0.7, 1.1]),
      old: [0, 0, 0],
      advantages: [1, -1, 0.5],
      owners: [0, 1, 2],
    };
    const clip = { clip_low: 0.2, clip_high: 0.3 };
    const [one, other] = [
      await runPolicyLoss(runtime, gspo, terms, clip),
      await runPolicyLoss(runtime, grpo, terms, clip),
    ];
    expect(one.loss).toBeCloseTo(other.loss, 12);
    expect(one.slopes).toEqual(other.slopes);
  });
});

describe("sapo", () => {
  test("has REINFORCE's slope at a ratio of 1, and less to both sides, least where A < 0", async () => {
    const slopeAt = async (ratio: number, advantage: number) => {
      const terms = { logps: logs([ratio]), old: [0], advantages: [advantage] };
      return (await runPolicyLoss(runtime, sapo, terms)).slopes[0]!;
    };
    expect(await slopeAt(1, 0.7)).toBeCloseTo(-0.7, 12);
    expect(await slopeAt(1, -0.7)).toBeCloseTo(0.7, 12);
    // 4·σ(x)(1 − σ(x))·ρ at x = τ(ρ − 1) = ±1
    const gate = 4 * (1 / (1 + Math.exp(-1))) * (1 / (1 + Math.E));
    expect(await slopeAt(2, 1)).toBeCloseTo(-2 * gate, 12);
    expect(Math.abs(await slopeAt(2, -1))).toBeLessThan(2 * gate);
  });
});

describe("ppo", () => {
  test("gives the chapter's whole step: the clip minds the sign, and the penalty counts once", async () => {
    const terms = {
      logps: logs([0.6, 0.3, 0.9]),
      old: logs([0.4, 0.5, 0.9]),
      advantages: [1, -1, 0.5],
    };
    const options = { aggregation: "answer-sum", value_weight: 0 };
    const { loss, metrics } = await runPolicyLoss(runtime, ppo, terms, options);
    expect(loss).toBeCloseTo(-0.9, 12);
    expect(metrics["clipped"]).toBeCloseTo(2 / 3, 12);
    const reference = { ...terms, reference: terms.old };
    const withPenalty = { ...options, kl_weight: 0.1, kl_estimator: "k1" };
    const penalised = await runPolicyLoss(runtime, ppo, reference, withPenalty);
    expect(penalised.loss).toBeCloseTo(-0.9105360515657825, 12); // twice would be −0.9210721031
  });

  test("clips each token's ratio, not the batch's mean: (1.5, 1) and (0.5, −1) lose 0.2", async () => {
    const terms = { logps: logs([1.5, 0.5]), old: [0, 0], advantages: [1, -1] };
    expect((await runPolicyLoss(runtime, ppo, terms, { value_weight: 0 })).loss).toBeCloseTo(
      -0.2,
      12,
    );
  });

  test("at the sampling policy is minus the advantages, and its gradient the policy gradient", async () => {
    const terms = { logps: logs([0.5, 0.25]), advantages: [2, -3], values: [0, 0] };
    const { loss, slopes } = await runPolicyLoss(runtime, ppo, terms, {
      aggregation: "answer-sum",
    });
    expect(loss).toBeCloseTo(1, 12);
    expect(slopes[0]).toBeCloseTo(-2, 12);
    expect(slopes[1]).toBeCloseTo(3, 12);
  });

  test("has the chapter's critic's error, halved, where values have not moved", async () => {
    const terms = {
      logps: [0, 0, 0],
      advantages: [0, 0, 0],
      values: [0.2, 0.5, 0.8],
      returns: [0.5, 0.8, 1],
    };
    const { loss, metrics } = await runPolicyLoss(runtime, ppo, terms, { value_weight: 2 });
    expect(metrics["value_loss"]).toBeCloseTo(0.0733333333333 / 2, 12);
    expect(loss).toBeCloseTo(0.0733333333333, 12);
    expect(metrics["value"]).toBeCloseTo(0.5, 12);
  });

  test("takes the larger error of the value and its clip", async () => {
    const errorOf = async (value: number, old: number, target: number) => {
      const terms = {
        logps: [0],
        advantages: [0],
        values: [value],
        oldValues: [old],
        returns: [target],
      };
      return 2 * (await runPolicyLoss(runtime, ppo, terms)).metrics["value_loss"]!;
    };
    expect(await errorOf(0.9, 0, 1)).toBeCloseTo(0.64, 12); // 0.2 is as far as it may come
    expect(await errorOf(2, 0, 1)).toBeCloseTo(1, 12); // overshot: its own error is the larger one
    expect(await errorOf(0.1, 0, 1)).toBeCloseTo(0.81, 12);
  });
});

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import { grpo } from "../../../../src/train/losses/policy/clipped.ts";
import { type PolicyNumbers, runPolicyLoss } from "../../../support/policy-terms.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const run = (numbers: PolicyNumbers, options: Record<string, unknown> = {}) =>
  runPolicyLoss(runtime, grpo, numbers, options);
const logs = (probabilities: number[]) => probabilities.map(Math.log);

test.each([
  [0.5, 1, 0.5],
  [1.1, 1, 1.1],
  [1.5, 1, 1.2],
  [0.5, -1, -0.8],
  [1.1, -1, -1.1],
  [1.5, -1, -1.5],
])(
  "gains, for a ratio of %d and an advantage of %d, %d: the clip minds the sign",
  async (ratio, advantage, gain) => {
    const { loss } = await run({ logps: logs([ratio]), old: [0], advantages: [advantage] });
    expect(loss).toBeCloseTo(-gain, 12);
  },
);

test("has no gradient where the clip holds, and −A/T elsewhere at a ratio of 1", async () => {
  const clipped = await run({
    logps: logs([1.5, 0.5, 1]),
    old: [0, 0, 0],
    advantages: [1, -1, 0.6],
  });
  expect(clipped.slopes[0]).toBe(0);
  expect(clipped.slopes[1]).toBeCloseTo(0, 12);
  expect(clipped.slopes[2]).toBeCloseTo(-0.2, 12);
  expect(clipped.metrics["clipped"]).toBeCloseTo(2 / 3, 12);
});

describe("the penalty", () => {
  const numbers = {
    logps: logs([1.1, 0.9, 1, 1.2]),
    old: [0, 0, 0, 0],
    reference: logs([1.1 * 0.9, 0.9, 1.1, 1.2]), // π_ref/π = 0.9, 1, 1.1, 1
    advantages: [1, -1, -1, 1],
    owners: [0, 1, 2, 3],
  };

  test("to the reference gives the survey's example, unclipped and clipped at 0.1", async () => {
    const unclipped = await run(numbers, { kl_weight: 0.04, clip_low: 1, clip_high: 9 });
    expect(unclipped.loss).toBeCloseTo(-0.0998994966, 9);
    const clipped = await run(numbers, { kl_weight: 0.04, clip_low: 0.1, clip_high: 0.1 });
    expect(clipped.loss).toBeCloseTo(-0.0748994966, 9);
  });

  test.each([
    [0.1, 0.005170918],
    [-0.1, 0.004837418],
    [0, 0],
  ])("of a token whose reference is %d nats likelier is %d", async (distance, kl) => {
    const { metrics } = await run({ logps: [-1], reference: [-1 + distance], advantages: [0] });
    expect(metrics["kl"]).toBeCloseTo(kl, 9);
  });

  test("is counted once, and pulls towards the reference", async () => {
    const far = { logps: [-1], reference: [-2], advantages: [0] };
    const { loss, metrics, slopes } = await run(far, { kl_weight: 0.5 });
    expect(loss).toBeCloseTo(0.5 * metrics["kl"]!, 12);
    expect(slopes[0]).toBeGreaterThan(0); // descent makes the token less likely, as the reference has it
  });
});

describe("aggregation", () => {
  // lengths 2 and 8; the tokens' terms are 1 and 0 (gains are their negatives)
  const numbers = {
    logps: Array(10).fill(0),
    advantages: Array.from({ length: 10 }, (_, t) => (t < 2 ? -1 : 0)),
    owners: Array.from({ length: 10 }, (_, t) => (t < 2 ? 0 : 1)),
  };
  test.each([
    ["answer-mean", 0.5],
    ["token-mean", 0.2],
    ["answer-sum", 1],
    ["fixed-length", 0.1],
  ])("%s of lengths 2 and 8 with terms 1 and 0 is %d", async (aggregation, expected) => {
    const { loss } = await run(numbers, { aggregation, tokens_max: 10 });
    expect(loss).toBeCloseTo(expected, 12);
  });
  test("leaves out tokens of weight 0", async () => {
    const weights = [1, 0, 1, 1, 1, 1, 1, 1, 1, 1];
    const { loss, slopes } = await run({ ...numbers, weights }, { aggregation: "token-mean" });
    expect(loss).toBeCloseTo(1 / 9, 12);
    expect(slopes[1]).toBeCloseTo(0, 12);
  });
});

import { expect, test } from "vitest";
import { InvariantError } from "../../../src/base/assert.ts";
import { policyStep, type Rollout } from "../../../src/train/families/policy.ts";

const rollouts: Rollout[] = [
  {
    prompt: [1, 2],
    completion: [10, 11, 12],
    logps: [-1, -2, -3],
    reference: [-1.5, -2.5, -3.5],
    advantages: [0.5, 0.25, 1],
    weights: [1, 0, 1],
  },
  { prompt: [3], completion: [20], logps: [-4], reference: null, advantages: [-1] },
];

test("each drawn token has the row that predicts it, and its numbers", () => {
  const { packed, int64, float32 } = policyStep(rollouts, 8);
  const read = [...int64["rows"]!].map((row) => Number(packed.ids[Number(row)]));
  expect(read).toEqual([2, 10, 11, 3]); // what was read last before each token
  expect([...int64["labels"]!].map(Number)).toEqual([10, 11, 12, 20]);
  expect([...int64["owners"]!].map(Number)).toEqual([0, 0, 0, 1]);
  expect([...float32["lengths"]!]).toEqual([3, 1]);
  expect([...float32["old"]!]).toEqual([-1, -2, -3, -4]);
  expect([...float32["advantages"]!]).toEqual([0.5, 0.25, 1, -1]);
  expect([...float32["weights"]!]).toEqual([1, 0, 1, 1]);
});

test("without a reference the sampling policy takes its place, whose penalty is the ratio's", () => {
  expect([...policyStep(rollouts, 8).float32["reference"]!]).toEqual([-1.5, -2.5, -3.5, -4]);
});

test("what does not fit together is refused", () => {
  const [first] = rollouts;
  for (const wrong of [
    { completion: [], logps: [], reference: [], advantages: [], weights: [] },
    { logps: [-1] },
    { advantages: [1, 2, 3, 4] },
    { reference: [0] },
    { weights: [1, 1] },
    { prompt: [] },
  ])
    expect(() => policyStep([{ ...first!, ...wrong }], 8)).toThrow(InvariantError);
});

import { describe, expect, test } from "vitest";
import { InvariantError } from "../../../src/base/assert.ts";
import { rewardStep, type StepData } from "../../../src/train/batches.ts";
import {
  pointStep,
  preferenceStep,
  prefixMarks,
  prefixStep,
  rankedPairs,
  rankedStep,
  segmentShares,
} from "../../../src/train/families/rewards.ts";

/** What stands where the score is read, with the sequence up to there. */
function readAt({ packed, int64 }: StepData, name: string): number[][] {
  return [...int64[name]!].map((row) => {
    const end = Number(row);
    const start = end - Number(packed.positions[end]);
    return Array.from(packed.ids.slice(start, end + 1), Number);
  });
}

test("pairs bring their margins and weights, and say which are demonstrations", () => {
  const pairs = [
    { chosen: 0, rejected: 1, margin: 2, weight: 0.25 },
    { chosen: 1, rejected: 0, demonstrated: true },
  ];
  const { float32 } = rewardStep([{ prompt: [1], completions: [[2], [3]], pairs }], 4);
  expect([...float32["margins"]!]).toEqual([2, 0]);
  expect([...float32["pair_weights"]!]).toEqual([0.25, 1]);
  expect([...float32["demonstrated"]!]).toEqual([0, 1]);
});

describe("ranked lists", () => {
  test("are scored at the ends of their answers, the best first, filled up with places that do not count", () => {
    const lists = [
      { prompt: [1], completions: [[10], [11, 12], [13]] },
      { prompt: [2, 3], completions: [[20], [21]] },
    ];
    const step = rankedStep(lists, 8);
    const ends = readAt(step, "rows");
    expect(ends.slice(0, 5)).toEqual([
      [1, 10],
      [1, 11, 12],
      [1, 13],
      [2, 3, 20],
      [2, 3, 21],
    ]);
    expect([...step.float32["present"]!]).toEqual([1, 1, 1, 1, 1, 0]);
    expect([...step.float32["list_sizes"]!]).toEqual([3, 2]);
    expect(() => rankedStep([{ prompt: [1], completions: [[2]] }], 8)).toThrow(InvariantError);
  });

  test("make pairs of every two answers that are not tied, which weigh 1 together", () => {
    expect(rankedPairs([1, 0, 1])).toEqual([
      { chosen: 1, rejected: 0, weight: 0.5 },
      { chosen: 1, rejected: 2, weight: 0.5 },
    ]);
    expect(rankedPairs([4, 4])).toEqual([]);
    expect(rankedPairs([0, 1, 2, 3])).toHaveLength(6);
  });
});

describe("marked places", () => {
  const answers = [
    {
      prompt: [1, 2],
      completion: [10, 11, 12],
      marks: [
        { at: 0, target: 1 },
        { at: 2, target: 0 },
      ],
    },
    { prompt: [3], completion: [20], marks: [{ at: 0, target: 0.5, weight: 0.25 }] },
  ];

  test("are scored after the marked token", () => {
    const step = pointStep(answers, 8);
    expect(readAt(step, "rows")).toEqual([
      [1, 2, 10],
      [1, 2, 10, 11, 12],
      [3, 20],
    ]);
    expect([...step.float32["targets"]!]).toEqual([1, 0, 0.5]);
    expect([...step.float32["weights"]!]).toEqual([1, 1, 0.25]);
  });

  test("lie within the answer", () => {
    for (const at of [-1, 3])
      expect(() => pointStep([{ ...answers[0]!, marks: [{ at, target: 1 }] }], 8)).toThrow(
        InvariantError,
      );
  });

  test("of prefixes weigh more towards the end, 1 together", () => {
    expect(prefixMarks(3, 0.7)).toEqual([
      { at: 0, target: 0.7, weight: 1 / 6 },
      { at: 1, target: 0.7, weight: 2 / 6 },
      { at: 2, target: 0.7, weight: 3 / 6 },
    ]);
  });

  test("of segments share the rating of the whole among them", () => {
    expect(segmentShares([3, 7, 6])).toEqual([3, 4, -1]);
    expect(segmentShares([3, 7, 6], 1)).toEqual([2, 4, -1]);
  });
});

test("prefixes are compared at equal lengths, from where the answers part", () => {
  const pairs = [
    { prompt: [1], chosen: [5, 6, 7, 8], rejected: [5, 9, 7] },
    { prompt: [2, 3], chosen: [4], rejected: [5] },
  ];
  const step = prefixStep(pairs, 8);
  expect(readAt(step, "chosen_rows")).toEqual([
    [1, 5, 6],
    [1, 5, 6, 7],
    [2, 3, 4],
  ]);
  expect(readAt(step, "rejected_rows")).toEqual([
    [1, 5, 9],
    [1, 5, 9, 7],
    [2, 3, 5],
  ]);
  expect([...step.float32["pair_weights"]!]).toEqual([0.5, 0.5, 1]);
  for (const rejected of [[5], [5, 6, 7, 8], [5, 6, 7, 8, 9]])
    expect(() => prefixStep([{ ...pairs[0]!, rejected }], 8)).toThrow(InvariantError);
});

test("a preference model reads both answers in both orders", () => {
  const pair = { prompt: [1], chosen: [5, 6], rejected: [7], separator: [99], weight: 0.5 };
  const step = preferenceStep([pair], 8);
  expect(readAt(step, "chosen_rows")).toEqual([[1, 5, 6, 99, 7]]);
  expect(readAt(step, "rejected_rows")).toEqual([[1, 7, 99, 5, 6]]);
  expect([...step.float32["pair_weights"]!]).toEqual([0.5]);
});

import { describe, expect, test } from "vitest";
import {
  expectedBest,
  expectedOfBest,
  normalGain,
  normalSurvival,
  recordGain,
} from "../../src/strategies/improvement.ts";

/** Mean 0 and deviation 1 over n − 1, the best at √(n − 1)/√… as the numbers say. */
const standard = [-1, 0, 1]; // mean 0, variance (1 + 0 + 1)/2 = 1, best 1

describe("the expected improvement under a normal law", () => {
  test("is s·(φ(z) − z·(1 − Φ(z))) for one more candidate", () => {
    const density = Math.exp(-0.5) / Math.sqrt(2 * Math.PI);
    const closed = density - 0.15865525393145707; // 1 − Φ(1), a table's
    expect(normalGain(standard, { wave: 1, maxReward: null })).toBeCloseTo(closed, 10);
  });

  test("scales with the rewards' unit and forgets their origin", () => {
    const one = normalGain(standard, { wave: 4, maxReward: null });
    const scaled = standard.map((reward) => 50 + 3 * reward);
    expect(normalGain(scaled, { wave: 4, maxReward: null })).toBeCloseTo(3 * one, 9);
  });

  test("is that of many draws", () => {
    // the mean of max(1, three standard normals) − 1, by a sum over a fine grid of the cube of Φ
    const step = 1e-3;
    let mean = 0;
    for (let x = 1 + step / 2; x < 10; x += step) mean += (1 - (1 - normalSurvival(x)) ** 3) * step;
    expect(normalGain(standard, { wave: 3, maxReward: null })).toBeCloseTo(mean, 6);
  });

  test("grows with the wave, and is less where rewards end", () => {
    const gain = (wave: number, maxReward: number | null = null) =>
      normalGain(standard, { wave, maxReward });
    expect(gain(2)).toBeGreaterThan(gain(1));
    expect(gain(8, 1.5)).toBeLessThan(gain(8));
    expect(gain(8, 1.5)).toBeLessThanOrEqual(0.5);
    expect(gain(8, 1)).toBe(0);
    expect(gain(8, 0.5)).toBe(0);
  });

  test("is 0 when all rewards are equal", () => {
    expect(normalGain([2, 2, 2], { wave: 4, maxReward: null })).toBe(0);
  });

  test.each([
    [0, 0.5],
    [1, 0.15865525393145707],
    [-1, 0.8413447460685429],
    [1.959964, 0.025],
    [6, 9.865876450376981e-10],
  ])("rests on 1 − Φ(%f) = %f", (z, tail) => {
    expect(normalSurvival(z) / tail).toBeCloseTo(1, 6);
  });
});

test("the value of the best of k is its mean over all subsets, equal keys chosen among by chance", () => {
  const keys = [1, 3, 2, 3, 0];
  const values = [10, 20, 30, 50, 40];
  const means: number[] = [];
  for (let set = 0; set < 1 << keys.length; set++) {
    const subset = keys.map((_, i) => i).filter((i) => (set >> i) & 1);
    if (subset.length !== 2) continue;
    const highest = Math.max(...subset.map((i) => keys[i]!));
    const best = subset.filter((i) => keys[i] === highest).map((i) => values[i]!);
    means.push(best.reduce((sum, value) => sum + value, 0) / best.length);
  }
  const mean = means.reduce((sum, value) => sum + value, 0) / means.length;
  expect(means).toHaveLength(10);
  expect(expectedOfBest(keys, values, 2)).toBeCloseTo(mean, 12);
  expect(expectedOfBest(keys, values, 1)).toBe(30);
  expect(expectedOfBest(keys, values, 5)).toBe(35);
});

describe("the expected best of k", () => {
  test.each([
    [1, 2.5],
    [2, 10 / 3],
    [3, 3.75],
    [4, 4],
  ])("of four rewards 1 to 4 is, for k = %i, %f", (k, mean) => {
    expect(expectedBest([3, 1, 4, 2], k)).toBeCloseTo(mean, 12);
  });

  test("is the mean over all subsets", () => {
    const rewards = [0.3, -2, 0.3, 5, 1.25, 0];
    const bests: number[] = [];
    for (let set = 0; set < 1 << rewards.length; set++) {
      const subset = rewards.filter((_, i) => (set >> i) & 1);
      if (subset.length === 4) bests.push(Math.max(...subset));
    }
    expect(bests).toHaveLength(15);
    const mean = bests.reduce((sum, best) => sum + best, 0) / 15;
    expect(expectedBest(rewards, 4)).toBeCloseTo(mean, 12);
    expect(recordGain(rewards, 2)).toBeCloseTo(5 - mean, 12);
  });

  test("says nothing of a first wave", () => {
    expect(recordGain([1, 2, 3], 3)).toBe(Number.POSITIVE_INFINITY);
  });
});

import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { tiltedWeights } from "../../src/strategies/ranking.ts";
import { accepted, rso } from "../../src/strategies/rso.ts";
import { sample } from "../../src/strategies/sample.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { chiSquare, distinct, draws, limit, listTexts, observe, pickLaw } from "./laws.ts";
import { best, finish } from "./support.ts";

const reward = (text: string) => (distinct(text) * 4) / 1009;
const vector = [0, 0.5, 1, 2];

describe("acceptance", () => {
  test("is .018316, .049787, .135335, 1 for rewards 0, .5, 1, 2 and β = .5", () => {
    const known = [0.018316, 0.049787, 0.135335, 1];
    for (const [i, chance] of tiltedWeights(vector, 0.5).entries()) {
      expect(chance).toBeCloseTo(known[i]!, 6);
    }
  });

  test("takes each as often as that in the first pass", () => {
    const counts = [0, 0, 0, 0];
    const runs = 20_000;
    for (let seed = 0; seed < runs; seed++) {
      const first = accepted(vector, { beta: 0.5, count: 1, random: createRandom(seed) });
      counts[first[0]!]! += 1;
    }
    const [a, b, c] = tiltedWeights(vector, 0.5) as [number, number, number];
    const law = [a, (1 - a) * b, (1 - a) * (1 - b) * c, (1 - a) * (1 - b) * (1 - c)];
    const statistic = counts.reduce(
      (sum, seen, i) => sum + (seen - law[i]! * runs) ** 2 / (law[i]! * runs),
      0,
    );
    expect(statistic).toBeLessThan(16.27); // 3 degrees of freedom, p = 0.001
  });

  test("measures a later pass by the best of those left", () => {
    // u = 0.1: the first pass takes 1 and 2; in the second 0 has the chance exp(−1) and .5 the chance 1
    const random = { uniform: () => 0.1 };
    expect(accepted(vector, { beta: 0.5, count: 4, random })).toEqual([2, 3, 0, 1]);
    const strict = { uniform: () => 0.99 };
    expect(accepted(vector, { beta: 0.5, count: 3, random: strict })).toEqual([3, 2, 1]);
  });

  test("keeps equals apart, and ends when none is left", () => {
    const random = { uniform: () => 0.5 };
    expect(accepted([1, 1, 1], { beta: 0.5, count: 3, random })).toEqual([0, 1, 2]);
    expect(accepted([1, 1], { beta: 0.5, count: 9, random })).toEqual([0, 1]);
  });
});

describe("rso", () => {
  test("takes the first of three that its chance accepts", async () => {
    const beta = 0.8;
    const observed = await observe(rso, { reward: cannedReward(reward), options: { n: 3, beta } });
    const law = pickLaw(listTexts(2), 3, (tuple) => {
      const highest = Math.max(...tuple.map(({ text }) => reward(text)));
      let left = 1; // of one of them the chance is 1, so nothing is left for another pass
      return tuple.map(({ text }) => {
        const chance = left * Math.exp((reward(text) - highest) / beta);
        left -= chance;
        return chance;
      });
    });
    expect(chiSquare(observed, law, draws)).toBeLessThan(limit);
  });

  test("is best-of-n for β → 0 and sampling for β → ∞", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const run = { reward: cannedReward(reward), sampling: { seed } };
      const cold = await finish(rso, { ...run, options: { beta: 1e-12 } });
      expect(cold.result.chosen).toEqual((await finish(bestOfN, run)).result.chosen);
      const hot = await finish(rso, { ...run, options: { beta: 1e12 } });
      expect(best(hot).tokens).toEqual(best(await finish(sample, run)).tokens);
      expect(hot.result.details!["acceptance"]).toBeCloseTo(1, 9);
    }
  });

  test("returns different candidates though their texts are the same", async () => {
    const run = { reward: cannedReward(() => 1), sampling: { temperature: 0 }, choices: 4 };
    const { candidates, chosen } = (await finish(rso, run)).result;
    expect(new Set(candidates.map(({ text }) => text)).size).toBe(1);
    expect(chosen).toEqual([0, 1, 2, 3]);
  });

  test("never accepts a candidate without a reward while there are others", async () => {
    const source = cannedReward((text) => (text.includes("a") ? reward(text) : Number.NaN));
    const options = { beta: 1e12 };
    for (let seed = 0; seed < 20; seed++) {
      const finished = await finish(rso, { reward: source, options, sampling: { seed } });
      expect(best(finished).text).toContain("a");
    }
  });
});

import { describe, expect, test } from "vitest";
import type { PairwiseReward } from "../../src/rewards/define.ts";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { cannedComparison } from "../support/canned-comparison.ts";
import { cannedReward } from "../support/canned-reward.ts";
import {
  argmax,
  certainly,
  chiSquare,
  chiSquareLimits,
  countTexts,
  distinct,
  listTexts,
  pickLaw,
} from "./laws.ts";
import { best, finish } from "./support.ts";

const seeds = Array.from({ length: 12 }, (_, seed) => seed);
const kinds = ["knockout", "round-robin"] as const;
const higher = (a: string, b: string) => (Math.sign(distinct(a) - distinct(b)) + 1) / 2;
const run = (reward: PairwiseReward, options: object, seed = 1) => ({
  reward,
  options: { n: 8, ...options },
  sampling: { seed },
});

describe.each(kinds)("best-of-n by %s", (choose) => {
  test("chooses what argmax would, of preferences that follow a number", async () => {
    for (const seed of seeds) {
      for (const n of [1, 2, 5, 8]) {
        const compared = await finish(bestOfN, run(cannedComparison(higher), { n, choose }, seed));
        const scored = { reward: cannedReward(distinct), options: { n }, sampling: { seed } };
        expect(best(compared).text).toBe(best(await finish(bestOfN, scored)).text);
      }
    }
  });

  test("has best-of-n's law", async () => {
    const listed = listTexts(2);
    const law = pickLaw(listed, 2, (tuple) =>
      certainly(tuple, argmax(tuple.map(({ text }) => distinct(text)))),
    );
    const draws = 1_000;
    const observed = await countTexts(draws, async (seed) => {
      const asked = run(cannedComparison(higher), { n: 2, choose }, seed);
      const sampling = { seed, maxTokens: 2 };
      return best(await finish(bestOfN, { ...asked, sampling })).text;
    });
    expect(chiSquare(observed, law, draws)).toBeLessThan(chiSquareLimits[12]!);
  });

  test("keeps the first where all are alike to the judge", async () => {
    const { result } = await finish(
      bestOfN,
      run(
        cannedComparison(() => 0.5),
        { choose },
      ),
    );
    expect(result.chosen).toEqual([0]);
  });

  test("counts its comparisons, and asks nothing of equal texts", async () => {
    for (const seed of seeds) {
      const reward = cannedComparison(higher);
      const { result, budget } = await finish(bestOfN, run(reward, { choose }, seed));
      const most = choose === "knockout" ? 7 : 28;
      expect(budget.rewardCalls).toBeLessThanOrEqual(most);
      expect(reward.pairs).toHaveLength(budget.rewardCalls);
      expect(result.details!["comparisons"]).toBe(budget.rewardCalls);
      for (const [a, b] of reward.pairs) expect(a).not.toBe(b);
      expect(reward.openSessions()).toBe(0);
    }
  });

  test("ends inside its budget of comparisons with the best so far, and says so", async () => {
    for (const rewardCalls of [1, 3, 6]) {
      const asked = run(cannedComparison(higher), { n: 32, choose });
      const { result, budget } = await finish(bestOfN, { ...asked, budget: { rewardCalls } });
      expect(budget.rewardCalls).toBe(rewardCalls);
      expect(result).toMatchObject({ stopped: "reward_calls", warnings: [] });
      expect(result.chosen).toHaveLength(1);
    }
  });

  test("takes a comparison that fails for a tie and says so; fails when all do", async () => {
    let asked = 0;
    const flaky = cannedComparison((a, b) => {
      asked += 1;
      if (asked === 2) throw new Error("unclear");
      return higher(a, b);
    });
    const { result } = await finish(bestOfN, run(flaky, { choose }, 3));
    expect(result.warnings).toEqual([
      `1 of ${asked} comparisons gave no verdict and count as ties.`,
    ]);
    const broken = cannedComparison(() => Number.NaN);
    await expect(finish(bestOfN, run(broken, { choose }, 3))).rejects.toMatchObject({
      code: "all_candidates_failed",
      message: expect.stringContaining("the reward gave NaN"),
    });
  });

  test("returns as many as are wanted, the winner first", async () => {
    const asked = run(cannedComparison(higher), { choose });
    const { result } = await finish(bestOfN, { ...asked, choices: 3 });
    expect(new Set(result.chosen).size).toBe(3);
    const values = result.candidates.map(({ text }) => distinct(text));
    expect(values[result.chosen[0]!]).toBe(Math.max(...values));
  });

  test("refuses a reward that scores each answer", async () => {
    const reward = cannedReward(distinct);
    await expect(finish(bestOfN, { reward, options: { choose } })).rejects.toMatchObject({
      param: "alignment.reward",
      message: expect.stringMatching(/pairwise judge.*choose argmax/),
    });
  });

  test("ends with the signal's reason when it is aborted while a comparison is pending", async () => {
    const controller = new AbortController();
    const reward = cannedComparison((_a, _b, signal) => {
      queueMicrotask(() => controller.abort(new Error("client left")));
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    });
    const asked = { ...run(reward, { choose }, 3), signal: controller.signal };
    await expect(finish(bestOfN, asked)).rejects.toThrow("client left");
    expect(reward.openSessions()).toBe(0);
  });
});

test("a round-robin wins by the mean preference, where a knockout may lose the best", async () => {
  // rock beats scissors beats paper beats rock, and a fourth beats two of them
  const ranks = new Map([["a", 3], ["b", 1], ["c", 2], ["", 0]]); // biome-ignore format: one row
  const cyclic = (one: string, other: string) => {
    const [a, b] = [ranks.get(one)!, ranks.get(other)!];
    if (a === 3 || b === 3) return a === 3 ? Number(b !== 0) : Number(a === 0); // "" beats a alone
    return Number(a > b);
  };
  const single = { maxTokens: 1 };
  const rates = (texts: readonly string[]) =>
    texts.map((text, i) => {
      const others = texts.filter((_, j) => j !== i);
      const won = others.map((other) => (other === text ? 0.5 : cyclic(text, other)));
      return won.reduce((sum, value) => sum + value, 0) / others.length;
    });
  for (const seed of seeds) {
    const asked = run(cannedComparison(cyclic), { n: 6, choose: "round-robin" }, seed);
    const { result } = await finish(bestOfN, { ...asked, sampling: { seed, ...single } });
    const won = rates(result.candidates.map(({ text }) => text));
    expect(result.chosen[0]).toBe(argmax(won));
    expect(result.details!["win_rate"]).toBeCloseTo(Math.max(...won), 12);
  }
});

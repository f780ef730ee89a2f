import { describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import type { GatewayError } from "../../src/base/errors.ts";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { bestOfNBound, bestOfNEstimate } from "../../src/strategies/kl.ts";
import { sample } from "../../src/strategies/sample.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { bestOf, chiSquare, distinct, draws, limit, listTexts, observe, textLaw } from "./laws.ts";
import { best, finish } from "./support.ts";

const n4 = { n: 4 };

describe("best-of-n's law", () => {
  const answers = (reward: (text: string) => number, n: number) =>
    observe(bestOfN, { reward: cannedReward(reward), options: { n } });

  test("is F(i)ⁿ − F(i−1)ⁿ when no two rewards are equal", async () => {
    expect(new Set(listTexts(2).map(({ text }) => distinct(text))).size).toBe(13);
    const observed = await answers(distinct, 3);
    expect(chiSquare(observed, bestOf(textLaw(2), distinct, 3), draws)).toBeLessThan(limit);
    // the same draws tell best of 3 from one sample and from best of 4
    expect(chiSquare(observed, bestOf(textLaw(2), distinct, 1), draws)).toBeGreaterThan(10 * limit);
    expect(chiSquare(observed, bestOf(textLaw(2), distinct, 4), draws)).toBeGreaterThan(2 * limit);
  });

  test("keeps the policy's proportions among equal rewards", async () => {
    const byLength = (text: string) => text.length;
    const observed = await answers(byLength, 2);
    const law = bestOf(textLaw(2), byLength, 2);
    expect(chiSquare(observed, law, draws)).toBeLessThan(limit);
  });
});

describe("best-of-n", () => {
  test("returns the candidate with the highest reward", async () => {
    const { result } = await finish(bestOfN, { reward: cannedReward(distinct) });
    const rewards = result.candidates.map(({ text }) => distinct(text));
    expect(rewards).toHaveLength(16);
    expect(rewards[result.chosen[0]!]).toBe(Math.max(...rewards));
  });

  test("returns the earliest of equals", async () => {
    const { result } = await finish(bestOfN, { reward: cannedReward(() => 0.5), choices: 3 });
    expect(result.chosen).toEqual([0, 1, 2]);
  });

  test("returns the best first when several are asked for", async () => {
    const run = { reward: cannedReward(distinct), choices: 16 };
    const { candidates, chosen } = (await finish(bestOfN, run)).result;
    const rewards = chosen.map((index) => candidates[index]!.reward!);
    expect(rewards).toEqual(rewards.toSorted((a, b) => b - a));
  });

  test("with n = 1 gives what sample gives", async () => {
    for (let seed = 0; seed < 10; seed++) {
      const run = { reward: cannedReward(distinct), sampling: { seed } };
      const one = await finish(bestOfN, { ...run, options: { n: 1 } });
      expect(one.result).toEqual((await finish(sample, run)).result);
    }
  });

  test("judges a candidate while others still decode", async () => {
    const { events } = await finish(bestOfN, { reward: cannedReward(distinct) });
    const types = events.map(({ type }) => type);
    expect(types.indexOf("candidate-scored")).toBeLessThan(types.lastIndexOf("candidate-delta"));
  });

  test("shows a candidate's text as it is drawn, and the answer's only at the end", async () => {
    const { events, result } = await finish(bestOfN, { reward: cannedReward(distinct) });
    for (const { index, text } of result.candidates) {
      const own = events.filter(
        (event) => event.type === "candidate-delta" && event.index === index,
      );
      expect(own.map((event) => ("text" in event ? event.text : "")).join("")).toBe(text);
    }
    const firstFinal = events.findIndex(({ type }) => type === "text-delta");
    const lastScored = events.findLastIndex(({ type }) => type === "candidate-scored");
    expect(firstFinal).toBeGreaterThan(lastScored);
  });

  test("refuses to return more than it draws", async () => {
    const run = { reward: cannedReward(distinct), options: n4, choices: 5 };
    const error = await finish(bestOfN, run).catch((thrown: unknown) => thrown as GatewayError);
    expect(error).toMatchObject({ code: "invalid_request", param: "n" });
    expect((error as GatewayError).message).toMatch(/may end with 4 answers and cannot return 5/);
  });

  test.each([0, 129, 1.5, "4"])("refuses n = %j", async (n) => {
    const run = { reward: cannedReward(distinct), options: { n } };
    await expect(finish(bestOfN, run)).rejects.toMatchObject({ param: "alignment.n" });
  });
});

describe("a candidate without a usable reward", () => {
  const unless = (isGood: (text: string) => boolean, otherwise: () => number) =>
    cannedReward((text) => (isGood(text) ? distinct(text) : otherwise()));
  const hasA = (text: string) => text.includes("a");

  test.each([
    ["NaN", Number.NaN, "the reward gave NaN"],
    ["Infinity", Number.POSITIVE_INFINITY, "the reward gave Infinity"],
  ])("never wins with %s, and says why", async (_, value, problem) => {
    const reward = unless(hasA, () => value);
    const finished = await finish(bestOfN, { reward });
    const { candidates } = finished.result;
    expect(best(finished).text).toMatch(/a/);
    const bad = candidates.filter(({ text }) => !hasA(text));
    expect(bad.length).toBeGreaterThan(0);
    for (const candidate of bad) {
      expect(candidate).toMatchObject({ reward: null, rewardProblem: problem });
    }
  });

  test("does not fail the request when its source fails", async () => {
    const reward = unless(hasA, () => {
      throw new Error("503 from the judge");
    });
    const finished = await finish(bestOfN, { reward });
    expect(best(finished)).toMatchObject({ rewardProblem: null });
    const problems = finished.result.candidates.map(({ rewardProblem }) => rewardProblem);
    expect(problems).toContain("503 from the judge");
  });

  test("fails the request when all are like it, with each reason once", async () => {
    const reward = cannedReward(() => Number.NaN);
    const error = await finish(bestOfN, { reward, options: n4 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "all_candidates_failed" });
    expect((error as GatewayError).message).toBe(
      "None of the 4 candidates got a usable reward: the reward gave NaN.",
    );
    expect(reward.openSessions()).toBe(0);
  });

  test("is not what a broken promise of ours is", async () => {
    const reward = cannedReward(() => {
      throw new InvariantError("a cache slot is lost");
    });
    await expect(finish(bestOfN, { reward })).rejects.toThrow("a cache slot is lost");
  });
});

describe("best-of-n's KL", () => {
  const reward = cannedReward(distinct);

  test("estimates from the answer's probability under the policy", async () => {
    const finished = await finish(bestOfN, { reward, options: n4, sampling: { maxTokens: 3 } });
    const { text } = best(finished);
    const { probability } = listTexts(3).find((listed) => listed.text === text)!;
    const { bound, estimate } = finished.result.kl;
    expect(bound).toBeCloseTo(Math.log(4) - 3 / 4, 12);
    expect(estimate).toBeCloseTo(bestOfNEstimate(4, Math.log(probability)), 9);
  });

  test.each([
    ["another temperature", { temperature: 0.5 }],
    ["greedy sampling", { temperature: 0 }],
    ["a bias", { logitBias: new Map([[1, 0.5]]) }],
    ["top-k", { topK: 2 }],
    ["top-p", { topP: 0.9 }],
    ["min-p", { minP: 0.1 }],
    ["a frequency penalty", { frequencyPenalty: 0.5 }],
    ["a presence penalty", { presencePenalty: 0.5 }],
  ])("has a bound but no estimate with %s", async (_, sampling) => {
    const { kl } = (await finish(bestOfN, { reward, options: n4, sampling })).result;
    expect(kl).toEqual({ bound: bestOfNBound(4), estimate: null });
  });

  test("is that of the first choice, however many follow it", async () => {
    const one = await finish(bestOfN, { reward, options: n4 });
    const three = await finish(bestOfN, { reward, options: n4, choices: 3 });
    expect(three.result.kl).toEqual(one.result.kl);
  });

  test("is unknown when a candidate went unjudged", async () => {
    const partial = cannedReward((text) => (text.includes("a") ? distinct(text) : Number.NaN));
    const { result } = await finish(bestOfN, { reward: partial });
    expect(result.kl).toEqual({ bound: null, estimate: null });
  });
});

/** [F(class)ⁿ − F(below)ⁿ], shared within a class of equal rewards as the policy shares it. */

/** The ways of best-of-n to choose, and its early end. */
import { describe, expect, test } from "vitest";
import { adaptiveBestOfN } from "../../src/strategies/adaptive-best-of-n.ts";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import type { Models } from "../../src/strategies/define.ts";
import { bestOfNBound } from "../../src/strategies/kl.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { type Law, tabularGenerator } from "../support/tabular-generator.ts";
import { chatTokenizer, law, tabularPolicy, tokenizer } from "../support/tabular-policy.ts";
import {
  argmax,
  certainly,
  chiSquare,
  distinct,
  draws,
  type ListedText,
  limit,
  listTexts,
  observe,
  pickLaw,
} from "./laws.ts";
import { best, finish, serving } from "./support.ts";

/** No two texts have the same reward; between 0 and 4. */
const reward = (text: string) => (distinct(text) * 4) / 1009;
const listed = listTexts(2);

const answers = (options: Readonly<Record<string, unknown>>, models?: Models) =>
  observe(bestOfN, { reward: cannedReward(reward), options, ...(models && { models }) });

const softmax = (beta: number) => (tuple: readonly ListedText[]) => {
  const weights = tuple.map(({ text }) => Math.exp(reward(text) / beta));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
};

describe("tilted", () => {
  test("takes each of three candidates in proportion to exp(r/β)", async () => {
    const beta = 0.8;
    const observed = await answers({ n: 3, choose: "tilted", beta });
    expect(chiSquare(observed, pickLaw(listed, 3, softmax(beta)), draws)).toBeLessThan(limit);
    // the same draws tell it from the best of three, and from sampling
    const highest = pickLaw(listed, 3, (tuple) =>
      certainly(tuple, argmax(tuple.map(({ text }) => reward(text)))),
    );
    expect(chiSquare(observed, highest, draws)).toBeGreaterThan(2 * limit);
    expect(chiSquare(observed, pickLaw(listed, 1, softmax(beta)), draws)).toBeGreaterThan(
      2 * limit,
    );
  });

  test("tends to π·exp(r/β)/Z as n grows", async () => {
    const beta = 2;
    const tilted = listed.map(({ text, probability }) => ({
      text,
      mass: probability * Math.exp(reward(text) / beta),
    }));
    const z = tilted.reduce((sum, { mass }) => sum + mass, 0);
    const target = new Map(tilted.map(({ text, mass }) => [text, mass / z]));
    const distance = (n: number) => {
      const exact = pickLaw(listed, n, softmax(beta));
      return [...target].reduce((sum, [text, p]) => sum + Math.abs(p - exact.get(text)!), 0) / 2;
    };
    const distances = [1, 2, 3, 4].map(distance);
    expect(distances).toEqual(distances.toSorted((a, b) => b - a));
    expect(distances[3]!).toBeLessThan(distances[0]! / 3);
    const observed = await answers({ n: 32, choose: "tilted", beta });
    expect(chiSquare(observed, target, draws)).toBeLessThan(limit);
  });

  test("is argmax for β → 0, and counts how many candidates weigh", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const run = { reward: cannedReward(reward), sampling: { seed } };
      const cold = await finish(bestOfN, { ...run, options: { choose: "tilted", beta: 1e-12 } });
      expect(best(cold).reward).toBe(best(await finish(bestOfN, run)).reward);
    }
    const warm = { choose: "tilted", beta: 1e12 };
    const { result } = await finish(bestOfN, { reward: cannedReward(reward), options: warm });
    expect(result.details!["effective_candidates"]).toBeCloseTo(16, 6);
    expect(result.kl).toEqual({ bound: bestOfNBound(16), estimate: null });
  });
});

describe("regularised", () => {
  /** Half the policy's law, half a uniform one. */
  const other: Law = (history) => {
    const row = law(history);
    return new Map([...row].map(([id, p]) => [id, p / 2 + 1 / (2 * row.size)]));
  };
  const generatorOf = (own: Law) =>
    tabularGenerator({ law: own, vocabSize: tokenizer.vocabSize, revision: "table-2" });
  const reference = tabularPolicy({ id: "base", generator: generatorOf(other) });
  const beta = 1.5;

  test("takes the highest of r − β·ln(π/π_ref)", async () => {
    const reach = (own: Law, tokens: readonly number[]) =>
      tokens.reduce((p, id, t) => p * own(tokens.slice(0, t)).get(id)!, 1);
    const key = ({ text, tokens }: ListedText) =>
      reward(text) - beta * Math.log(reach(law, tokens) / reach(other, tokens));
    const exact = pickLaw(listed, 3, (tuple) => certainly(tuple, argmax(tuple.map(key))));
    const options = { n: 3, choose: "regularised", beta, reference: "base" };
    const observed = await answers(options, serving(reference));
    expect(chiSquare(observed, exact, draws)).toBeLessThan(limit);
    const plain = pickLaw(listed, 3, (tuple) =>
      certainly(tuple, argmax(tuple.map(({ text }) => reward(text)))),
    );
    expect(chiSquare(observed, plain, draws)).toBeGreaterThan(2 * limit);
  });

  test("is argmax when the reference is the policy itself", async () => {
    const options = { choose: "regularised", beta: 100, reference: "table" };
    for (let seed = 0; seed < 20; seed++) {
      const run = { reward: cannedReward(reward), sampling: { seed } };
      const same = await finish(bestOfN, { ...run, options, models: serving(tabularPolicy()) });
      expect(best(same).text).toBe(best(await finish(bestOfN, run)).text);
    }
  });

  test("refuses a reference that spells its tokens differently", async () => {
    const foreign = chatTokenizer(["abababcabc abababcabc"], 262);
    const swapped = tabularPolicy({ id: "base", tokenizer: foreign });
    const options = { choose: "regularised", reference: "base" };
    const run = { reward: cannedReward(reward), options, models: serving(swapped) };
    await expect(finish(bestOfN, run)).rejects.toMatchObject({ param: "alignment.reference" });
  });

  test("refuses to run without a reference, or with one that is not served", async () => {
    const run = { reward: cannedReward(reward), options: { choose: "regularised" } };
    await expect(finish(bestOfN, run)).rejects.toMatchObject({ param: "alignment.reference" });
    const unknown = { ...run, options: { choose: "regularised", reference: "nobody" } };
    await expect(finish(bestOfN, unknown)).rejects.toMatchObject({ code: "model_not_found" });
  });
});

describe("a highest reward", () => {
  const byLength = (text: string) => Math.min(3, text.length);

  test("is final at once, and ends those that still decode", async () => {
    const run = { reward: cannedReward(byLength), sampling: { seed: 2 } };
    const all = await finish(bestOfN, run);
    const early = await finish(bestOfN, { ...run, options: { max_reward: 3 } });
    expect(early.result.stopped).toBe("decided");
    expect(best(early).reward).toBe(best(all).reward);
    expect(early.budget.tokens).toBeLessThan(all.budget.tokens);
    const types = early.events.map(({ type }) => type);
    expect(types.indexOf("text-delta")).toBeLessThan(types.indexOf("candidate-cut"));
    const cut = early.result.candidates.filter(({ cut: reason }) => reason === "decided");
    expect(cut.length).toBeGreaterThan(0);
    for (const candidate of cut) expect(candidate.reward).toBeNull();
    expect(early.result.kl).toEqual({ bound: bestOfNBound(16), estimate: null });
  });

  test("changes nothing where no candidate has it", async () => {
    const run = { reward: cannedReward(byLength), sampling: { seed: 2 } };
    const all = await finish(bestOfN, run);
    expect((await finish(bestOfN, { ...run, options: { max_reward: 99 } })).result).toEqual(
      all.result,
    );
  });

  test("ends nothing without early: the earliest of the best wins, whichever was judged first", async () => {
    const run = { reward: cannedReward(byLength), sampling: { seed: 2 } };
    const options = { max_reward: 3, early: false };
    const { result } = await finish(bestOfN, { ...run, options });
    expect(result).toEqual((await finish(bestOfN, run)).result);
    expect(result.chosen[0]).toBe(result.candidates.findIndex(({ reward }) => reward === 3));
  });

  test("serves several choices, each as it comes", async () => {
    const run = { reward: cannedReward(byLength), choices: 3, options: { max_reward: 3 } };
    const { result } = await finish(bestOfN, run);
    const chosen = result.chosen.map((index) => result.candidates[index]!);
    expect(chosen.map((candidate) => candidate.reward)).toEqual([3, 3, 3]);
  });

  test.each([
    [bestOfN, {}],
    [adaptiveBestOfN, { price: 0 }],
  ])("is the reward's own where the request names none: $name", async (strategy, options) => {
    const run = { reward: cannedReward(byLength), sampling: { seed: 2 }, options };
    const declaring = { ...run, reward: { ...run.reward, range: [0, 3] as const } };
    const early = await finish(strategy, declaring);
    expect(early.result.stopped).toBe("decided");
    expect(best(early).reward).toBe(3);
    const all = { ...declaring, options: { ...options, max_reward: 99 } };
    expect((await finish(strategy, all)).result.stopped).toBe("complete");
    const tilted = { ...declaring, options: { choose: "tilted" } };
    expect((await finish(bestOfN, tilted)).result.stopped).toBe("complete");
  });

  test("that is surpassed is told", async () => {
    const run = { reward: cannedReward(() => 3), options: { max_reward: 2 } };
    const { warnings } = (await finish(bestOfN, run)).result;
    expect(warnings.join()).toMatch(/reward 3, above max_reward = 2/);
  });

  test("has no meaning where all candidates are needed", async () => {
    const options = { choose: "tilted", max_reward: 3 };
    const run = { reward: cannedReward(byLength), options };
    await expect(finish(bestOfN, run)).rejects.toMatchObject({ param: "alignment.max_reward" });
  });
});

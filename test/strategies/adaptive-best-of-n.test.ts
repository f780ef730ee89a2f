import { describe, expect, test } from "vitest";
import { adaptiveBestOfN } from "../../src/strategies/adaptive-best-of-n.ts";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { bestOfNBound } from "../../src/strategies/kl.ts";
import { cannedReward } from "../support/canned-reward.ts";
import {
  argmax,
  certainly,
  chiSquare,
  distinct,
  draws,
  limit,
  listTexts,
  observe,
  pickLaw,
} from "./laws.ts";
import { best, finish } from "./support.ts";

const gains = [{ gain: "normal" }, { gain: "record" }];

describe("adaptive best-of-n", () => {
  test("has best-of-n's law when tokens cost nothing", async () => {
    const options = { n: 3, wave: 1, price: 0 };
    const observed = await observe(adaptiveBestOfN, { reward: cannedReward(distinct), options });
    const law = pickLaw(listTexts(2), 3, (tuple) =>
      certainly(tuple, argmax(tuple.map(({ text }) => distinct(text)))),
    );
    expect(chiSquare(observed, law, draws)).toBeLessThan(limit);
  });

  test("gives best-of-n's candidates when one wave holds them all", async () => {
    const run = { reward: cannedReward(distinct) };
    const one = await finish(adaptiveBestOfN, { ...run, options: { n: 16, wave: 16 } });
    const all = await finish(bestOfN, run);
    expect(one.result.candidates).toEqual(all.result.candidates);
    expect(one.result.chosen).toEqual(all.result.chosen);
  });

  test.each(gains)("draws all when no price stops it ($gain)", async (gain) => {
    const options = { n: 12, wave: 4, price: 0, ...gain };
    const { result } = await finish(adaptiveBestOfN, { reward: cannedReward(distinct), options });
    expect(result).toMatchObject({ stopped: "complete", details: { waves: 3 } });
    expect(result.candidates).toHaveLength(12);
  });

  test.each(gains)(
    "stops as soon as a price can be judged that nothing is worth ($gain)",
    async (gain) => {
      const options = { n: 32, wave: 4, price: 1e9, ...gain };
      const { result } = await finish(adaptiveBestOfN, { reward: cannedReward(distinct), options });
      expect(result.stopped).toBe("price");
      expect(result.candidates).toHaveLength(gain.gain === "normal" ? 4 : 8); // records need two waves
      expect(result.details!["gain_per_token"]).toBeLessThan(1e9);
    },
  );

  test("draws fewer the dearer a token is, and never gains by it", async () => {
    const spent = await Promise.all(
      [0, 1, 10, 100].map(async (price) => {
        const runs = Array.from({ length: 20 }, (_, seed) =>
          finish(adaptiveBestOfN, {
            reward: cannedReward(distinct),
            options: { price },
            sampling: { seed },
          }),
        );
        const finished = await Promise.all(runs);
        return {
          tokens: finished.reduce((sum, { budget }) => sum + budget.tokens, 0),
          reward: finished.reduce((sum, each) => sum + best(each).reward!, 0),
        };
      }),
    );
    const [tokens, rewards] = [spent.map((each) => each.tokens), spent.map((each) => each.reward)];
    expect(tokens).toEqual(tokens.toSorted((a, b) => b - a));
    expect(rewards).toEqual(rewards.toSorted((a, b) => b - a));
    expect(tokens[3]).toBeLessThan(tokens[0]! / 2);
  });

  test("stops at a reward that nothing can surpass", async () => {
    const reward = cannedReward((text) => Math.min(2, text.length));
    const options = { price: 0, max_reward: 2 };
    const finished = await finish(adaptiveBestOfN, { reward, options });
    expect(finished.result.stopped).toBe("decided");
    expect(best(finished).reward).toBe(2);
    expect(finished.result.candidates.length).toBeLessThan(32);
  });

  test("is bound by the most it may draw, however few it drew", async () => {
    const options = { n: 32, price: 1e9 };
    const { kl } = (await finish(adaptiveBestOfN, { reward: cannedReward(distinct), options }))
      .result;
    expect(kl).toEqual({ bound: bestOfNBound(32), estimate: null });
  });

  test("draws as many as it has to return, whatever they cost", async () => {
    const options = { n: 8, wave: 2, price: 1e9 };
    const run = { reward: cannedReward(distinct), options, choices: 5 };
    expect((await finish(adaptiveBestOfN, run)).result.chosen).toHaveLength(5);
    await expect(finish(adaptiveBestOfN, { ...run, choices: 9 })).rejects.toMatchObject({
      param: "n",
    });
  });

  test("goes on past candidates that were not judged", async () => {
    const reward = cannedReward((text) => (text.includes("a") ? distinct(text) : Number.NaN));
    const finished = await finish(adaptiveBestOfN, { reward });
    expect(best(finished).text).toContain("a");
    expect(finished.result.kl.bound).toBeNull();
  });
});

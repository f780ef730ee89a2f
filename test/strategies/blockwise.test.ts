import { describe, expect, test } from "vitest";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { blockwise } from "../../src/strategies/blockwise.ts";
import { sample } from "../../src/strategies/sample.ts";
import { cannedReward } from "../support/canned-reward.ts";
import {
  add,
  bestOf,
  chiSquare,
  distinct,
  draws,
  emptyPrefix,
  klBetween,
  limit,
  nextPrefixes,
  observe,
  type Prefix,
  type TextLaw,
  textLaw,
} from "./laws.ts";
import { best, finish } from "./support.ts";

const seeds = Array.from({ length: 12 }, (_, seed) => seed);

const answers = (k: number) =>
  observe(blockwise, { reward: cannedReward(distinct), options: { k, block_tokens: 1 } });

/** Of blocks of one token: best-of-K after best-of-K. */
function blockLaw(k: number, maxTokens: number): TextLaw {
  const law = new Map<string, number>();
  const grow = (prefix: Prefix, probability: number): void => {
    if (prefix.hasEnded) {
      add(law, prefix.text, probability);
      return;
    }
    const next = bestOf(nextPrefixes(prefix, maxTokens), ({ text }) => distinct(text), k);
    for (const [grown, p] of next) grow(grown, probability * p);
  };
  grow(emptyPrefix, 1);
  return law;
}

describe("blockwise's law", () => {
  test("is best-of-K of each block, given those before it", async () => {
    const observed = await answers(3);
    expect(chiSquare(observed, blockLaw(3, 2), draws)).toBeLessThan(limit);
    expect(chiSquare(observed, bestOf(textLaw(2), distinct, 3), draws)).toBeGreaterThan(2 * limit);
  });

  test("is the policy's own with K = 1", async () => {
    expect(chiSquare(await answers(1), textLaw(2), draws)).toBeLessThan(limit);
  });

  test("is best-of-K, token for token, when a block holds the whole answer", async () => {
    for (const seed of seeds) {
      const run = { reward: cannedReward(distinct), sampling: { seed } };
      const blocks = await finish(blockwise, { ...run, options: { k: 5, block_tokens: 8 } });
      const whole = await finish(bestOfN, { ...run, options: { n: 5 } });
      expect(blocks.result.candidates).toEqual(whole.result.candidates);
      expect(blocks.result.chosen).toEqual(whole.result.chosen);
      expect(blocks.result.kl).toEqual(whole.result.kl);
    }
  });

  test("is sample, token for token, with K = 1 and such a block", async () => {
    for (const seed of seeds) {
      const run = { reward: cannedReward(distinct), sampling: { seed } };
      const blocks = await finish(blockwise, { ...run, options: { k: 1, block_tokens: 8 } });
      expect(blocks.result.candidates).toEqual((await finish(sample, run)).result.candidates);
    }
  });

  test.each([1, 2, 4, 8])("is no farther from the policy than the bound with K = %i", async (k) => {
    const options = { k, block_tokens: 1 };
    const run = { reward: cannedReward(distinct), options, sampling: { maxTokens: 3 } };
    const { bound } = (await finish(blockwise, run)).result.kl;
    expect(klBetween(blockLaw(k, 3), textLaw(3))).toBeLessThanOrEqual(bound! + 1e-12);
  });
});

describe("blockwise", () => {
  const options = { k: 3, block_tokens: 2 };

  test("says a block as soon as it is kept, and nothing else", async () => {
    const { events } = await finish(blockwise, {
      reward: cannedReward((text) => text.length),
      options,
    });
    const types = events.map(({ type }) => type);
    expect(types.indexOf("text-delta")).toBeLessThan(types.lastIndexOf("candidate-delta"));
    const said = events.filter((event) => event.type === "text-delta");
    for (const { tokens } of said) expect(tokens.length).toBeLessThanOrEqual(2);
    expect(said.length).toBe(4); // the longest has all 8 tokens
  });

  test("shows each candidate's text once, from its beginning", async () => {
    for (const seed of seeds) {
      const run = { reward: cannedReward(distinct), options, sampling: { seed } };
      const { events, result } = await finish(blockwise, run);
      for (const { index, text } of result.candidates) {
        const own = events.filter((event) => event.type === "candidate-delta");
        const shown = own.filter((event) => event.index === index).map((event) => event.text);
        expect(shown.join("")).toBe(text);
      }
    }
  });

  test("gives the dropped blocks up, judged", async () => {
    const { result } = await finish(blockwise, { reward: cannedReward(distinct), options });
    const dropped = result.candidates.filter(({ index }) => index !== result.chosen[0]);
    expect(dropped.some(({ cut }) => cut === "rejected")).toBe(true);
    for (const { text, reward, cut, finishReason } of dropped) {
      expect(reward).toBe(distinct(text));
      if (finishReason === "stop") expect(cut).toBeNull();
    }
  });

  test("asks for one reward only with K = 1", async () => {
    const { budget } = await finish(blockwise, {
      reward: cannedReward(distinct),
      options: { k: 1, block_tokens: 1 },
    });
    expect(budget.rewardCalls).toBe(1);
  });

  test("never keeps a block without a reward while another has one", async () => {
    const reward = cannedReward((text) => (text.endsWith("b") ? distinct(text) : Number.NaN));
    for (const seed of seeds) {
      const run = { reward, options: { k: 16, block_tokens: 1 }, sampling: { seed, maxTokens: 3 } };
      const { candidates, chosen, kl } = (await finish(blockwise, run)).result;
      expect(candidates[chosen[0]!]!.text).toMatch(/^b+$/);
      expect(kl).toEqual({ bound: null, estimate: null });
    }
  });

  test("fails when no block could be judged", async () => {
    const reward = cannedReward(() => Number.NaN);
    await expect(finish(blockwise, { reward, options })).rejects.toMatchObject({
      code: "all_candidates_failed",
    });
  });

  test("ends inside its budget with the best block so far, and says so", async () => {
    const reward = cannedReward((text) => text.length);
    const tokens = await finish(blockwise, { reward, options, budget: { tokens: 7 } });
    expect(tokens.result.stopped).toBe("tokens");
    expect(tokens.budget.tokens).toBeLessThanOrEqual(7 + 2); // all three were at a token then
    expect(best(tokens).cut).toBe("budget");
    const calls = await finish(blockwise, { reward, options, budget: { rewardCalls: 4 } });
    expect(calls.result.stopped).toBe("reward_calls");
    expect(calls.budget.rewardCalls).toBe(4);
    expect(best(calls).reward).toBe(best(calls).text.length);
  });

  test("refuses a reward that judges finished answers only", async () => {
    const reward = { ...cannedReward(distinct), acceptsPrefixes: false };
    await expect(finish(blockwise, { reward })).rejects.toMatchObject({
      code: "invalid_request",
      param: "alignment.reward",
    });
  });
});

import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import type { ComparisonSession, Reward } from "../../src/rewards/define.ts";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { blockwise } from "../../src/strategies/blockwise.ts";
import { Budget, unlimited } from "../../src/strategies/budget.ts";
import { rad } from "../../src/strategies/rad.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { end, plainSampling, tabularPolicy } from "../support/tabular-policy.ts";
import { best, finish } from "./support.ts";

const { signal } = new AbortController();
const policy = tabularPolicy();
const prompt = policy.encode({ kind: "text", text: "?" });
const endless = { logitBias: new Map([[end, -100]]) };
/** Of three sources. */
const threefold = (): Reward => ({ ...cannedReward((text) => text.length), calls: 3 });

describe("a budget of tokens", () => {
  const limited = (tokens: number) => new Budget({ ...unlimited, tokens }, systemClock);

  test("is shared to the last token by candidates that do not end", async () => {
    const budget = limited(13);
    const counted = budget.policy(policy);
    const drawn = await counted.generate(prompt, 5, plainSampling(endless), { signal });
    expect(drawn.map(({ tokens }) => tokens.length)).toEqual([3, 3, 3, 2, 2]);
    expect(budget).toMatchObject({ tokens: 13, spent: "tokens" });
  });

  test("too small for a token each leaves the last ones empty, and they are told of", async () => {
    const budget = limited(2);
    const told: number[] = [];
    const control = { signal, onCandidate: ({ index }: { index: number }) => told.push(index) };
    const sampling = plainSampling(endless);
    const drawn = await budget.policy(policy).generate(prompt, 4, sampling, control);
    expect(drawn.map(({ index, text, tokens }) => [index, text.length, tokens.length])).toEqual([
      [0, 1, 1],
      [1, 1, 1],
      [2, 0, 0],
      [3, 0, 0],
    ]);
    expect(told).toEqual([0, 1, 2, 3]);
  });

  test("does not lose what was promised to answers that end before", async () => {
    const budget = limited(9);
    const counted = budget.policy(policy);
    const short = plainSampling({ ...endless, maxTokens: 2 });
    await counted.generate(prompt, 4, short, { signal });
    expect(budget).toMatchObject({ tokens: 8, spent: null });
    await counted.generate(prompt, 1, short, { signal });
    expect(budget).toMatchObject({ tokens: 9, spent: "tokens" });
  });

  test("gives promises back when what draws fails", async () => {
    const budget = limited(4);
    const failing = { ...policy, generate: () => Promise.reject(new Error("no")) };
    const sampling = plainSampling(endless);
    await expect(budget.policy(failing).generate(prompt, 4, sampling, { signal })).rejects.toThrow(
      "no",
    );
    await budget.policy(policy).generate(prompt, 4, sampling, { signal });
    expect(budget.tokens).toBe(4);
  });

  test("judges no candidate that it left empty", async () => {
    const reward = cannedReward((text) => text.length);
    const run = { reward, options: { n: 6 }, budget: { tokens: 4 }, sampling: endless };
    const finished = await finish(bestOfN, run);
    expect(reward.texts).toHaveLength(4);
    expect(best(finished).tokens).toHaveLength(1);
  });
});

describe("a reward made of others", () => {
  test("costs as many calls as it has sources", async () => {
    const { budget } = await finish(bestOfN, { reward: threefold(), options: { n: 4 } });
    expect(budget.rewardCalls).toBe(12);
  });

  test("is not asked where too few calls are left, and the search ends with what it has", async () => {
    const run = { reward: threefold(), budget: { rewardCalls: 11 }, sampling: endless };
    const finished = await finish(blockwise, { ...run, options: { k: 3, block_tokens: 2 } });
    expect(finished.budget.rewardCalls).toBe(9);
    expect(finished.result.stopped).toBe("reward_calls");
    const guided = await finish(rad, { ...run, options: { k: 2 } });
    expect(guided.budget.rewardCalls).toBeLessThanOrEqual(11);
    expect(best(guided).reward).not.toBeNull();
  });
});

test("counts comparisons, and the tokens that judges wrote", async () => {
  const budget = new Budget({ ...unlimited, rewardCalls: 1 }, systemClock);
  const judge: Reward = {
    ...cannedReward(() => 0),
    open: () => ({
      score: async () => Number.NaN,
      async compare(_a: string, _b: string, how: Parameters<ComparisonSession["compare"]>[2]) {
        how?.onTokens?.(5);
        how?.onTokens?.(6);
        return 1;
      },
      close: () => undefined,
    }),
  };
  const session = budget.reward(judge).open({ messages: [] }, signal) as ComparisonSession; // as above
  expect(await session.compare("a", "b")).toBe(1);
  expect(budget).toMatchObject({ rewardCalls: 1, rewardTokens: 11, tokens: 0 });
  await expect(session.compare("a", "b")).rejects.toMatchObject({ code: "budget_spent" });
});

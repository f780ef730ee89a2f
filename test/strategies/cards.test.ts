import { describe, expect, test } from "vitest";
import { acceptance, cards, entropyAtLeast } from "../../src/strategies/cards.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { chiSquare, distinct, draws, limit, listTexts, observe, textLaw } from "./laws.ts";
import { best, finish } from "./support.ts";

describe("the threshold", () => {
  const options = { reward_goal: 8.5, alpha: 0.5, beta: 0.7, soft: true };
  const at = { empty: 2, tokensMax: 128 };

  // peers' notes, 3.3: computed apart from this code
  test.each([
    [0, 5.25],
    [32, 6.0625],
    [64, 6.875],
    [128, 8.5],
    [200, 8.5],
  ])("after %i tokens is %d", (t, expected) => {
    expect(acceptance(options, at).threshold(t)).toBeCloseTo(expected, 12);
  });

  test("lets 6 pass a threshold of 7 with probability 0.239651 at β = 0.7", () => {
    const flat = acceptance({ ...options, reward_goal: 7, alpha: 1 }, at);
    expect(flat.probability(6, 10)).toBeCloseTo(0.239651, 6);
    expect(flat.probability(7, 10)).toBe(1);
    expect(flat.probability(9, 10)).toBe(1);
  });

  test("hard is all or nothing", () => {
    const hard = acceptance({ ...options, reward_goal: 7, alpha: 1, soft: false }, at);
    expect([6.999, 7, 7.001].map((reward) => hard.probability(reward, 10))).toEqual([0, 1, 1]);
  });
});

describe("the entropy of which the most likely tokens are known", () => {
  const top = (p: readonly number[]) => p.map((each) => ({ logprob: Math.log(each) }));
  const exact = (p: readonly number[]) => p.reduce((sum, each) => sum - each * Math.log(each), 0);

  test("is exact for a uniform law, and where nothing else is likely", () => {
    expect(entropyAtLeast(top(Array.from({ length: 20 }, () => 1 / 50_000)))).toBeCloseTo(
      Math.log(50_000),
      9,
    );
    const four = [0.4, 0.3, 0.2, 0.1];
    expect(entropyAtLeast(top(four))).toBeCloseTo(exact(four), 12);
    expect(entropyAtLeast(top([1]))).toBeCloseTo(0, 12);
    expect(entropyAtLeast([...top([1]), { logprob: Number.NEGATIVE_INFINITY }])).toBeCloseTo(0, 12);
  });

  test("is never above the true one", () => {
    for (const decay of [0.5, 0.8, 0.95, 0.99]) {
      const weights = Array.from({ length: 1_000 }, (_, i) => decay ** i);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const law = weights.map((weight) => weight / total).filter((p) => p > 0);
      const known = entropyAtLeast(top(law.slice(0, 20)));
      expect(known).toBeLessThanOrEqual(exact(law) + 1e-9);
      expect(known).toBeGreaterThan(0.5 * exact(law));
    }
  });
});

describe("cards' law", () => {
  const answers = (reward: (text: string) => number, options: Record<string, unknown>) =>
    observe(cards, { reward: cannedReward(reward), options: { top_k: 0, ...options } });

  // the entropies of the table's rows are 1.22 (after a), 1.28 (first, after b) and 1.39 (after c)
  test.each([0, 1.25, 1.3, 9])(
    "is the policy's own when all is accepted, with segments cut at %d nats",
    async (entropy) => {
      const options = { reward_goal: 0, entropy, segment_tokens_min: 1 };
      const observed = await answers(() => 1, options);
      expect(chiSquare(observed, textLaw(2), draws)).toBeLessThan(limit);
    },
  );

  test("is π·min(1, exp((r − τ)/β))/Z when a segment is a whole answer", async () => {
    const worth = (text: string) => distinct(text) / 200;
    const options = {
      reward_goal: 4,
      alpha: 0.5,
      beta: 0.7,
      entropy: 99,
      rejections_max: 200,
    };
    const observed = await answers(worth, options);
    const { probability } = acceptance(
      { ...options, soft: true },
      { empty: worth(""), tokensMax: 2 },
    );
    const tilted = listTexts(2).map(
      ({ text, tokens, probability: p }) =>
        [text, p * probability(worth(text), tokens.length)] as const,
    );
    const total = tilted.reduce((sum, [, p]) => sum + p, 0);
    const law = new Map(tilted.map(([text, p]) => [text, p / total]));
    expect(chiSquare(observed, law, draws)).toBeLessThan(limit);
    expect(chiSquare(observed, textLaw(2), draws)).toBeGreaterThan(2 * limit);
  });
});

describe("cards", () => {
  test("ends segments where the next token is uncertain", async () => {
    const options = {
      reward_goal: 99,
      soft: false,
      entropy: 1.38,
      segment_tokens_min: 1,
      top_k: 0,
    };
    const reward = cannedReward((text) => text.length);
    for (let seed = 0; seed < 12; seed++) {
      const { result } = await finish(cards, { reward, options, sampling: { seed } });
      for (const { cut, text } of result.candidates) {
        if (cut === "rejected") expect(text).toMatch(/c$/); // after c all four are equally likely
      }
    }
  });

  test("takes the best segment seen after so many rejections", async () => {
    const options = { reward_goal: 99, soft: false, rejections_max: 5, entropy: 99 };
    const run = { reward: cannedReward((text) => distinct(text) / 100), options };
    const finished = await finish(cards, run);
    const { candidates } = finished.result;
    expect(candidates).toHaveLength(5);
    expect(best(finished).reward).toBe(Math.max(...candidates.map(({ reward }) => reward!)));
  });

  test("reports no more alternatives for a token than were asked for", async () => {
    const finished = await finish(cards, { reward: cannedReward((text) => text.length) });
    for (const { top } of best(finished).tokens) expect(top).toEqual([]);
  });

  test("ends inside its budget with the best so far, and says so", async () => {
    const options = { reward_goal: 99, soft: false, segment_tokens_min: 1, entropy: 0 };
    const run = { reward: cannedReward((text) => text.length), options };
    const finished = await finish(cards, { ...run, budget: { rewardCalls: 8 } });
    expect(finished.result.stopped).toBe("reward_calls");
    expect(finished.budget.rewardCalls).toBe(8);
  });

  test("goes on without the empty answer's reward, and says so", async () => {
    const reward = cannedReward((text) => (text === "" ? Number.NaN : 9));
    const { result } = await finish(cards, { reward, sampling: { seed: 3 } });
    expect(result.warnings).toEqual([
      "The empty answer has no reward (the reward gave NaN); the threshold is reward_goal throughout.",
    ]);
  });
});

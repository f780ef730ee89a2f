import { setImmediate as nextTick } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { keptOf, speculativeRejection } from "../../src/strategies/speculative-rejection.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { listCompletions } from "../support/tabular-generator.ts";
import { end, law, tokenizer } from "../support/tabular-policy.ts";
import {
  add,
  bestOf,
  chiSquare,
  distinct,
  draws,
  limit,
  observe,
  type TextLaw,
  textLaw,
} from "./laws.ts";
import { best, finish } from "./support.ts";

const seeds = Array.from({ length: 12 }, (_, seed) => seed);

/** peers' notes, 3.4: computed apart from this code with Python's round */
test.each([
  [0.5, [50, 25, 12, 6, 3, 2, 1]],
  [0.3, [70, 49, 34, 24, 17, 12, 8]],
  [0.7, [30, 9, 3, 1]],
])("with alpha = %d cuts 100 to %j", (alpha, sizes) => {
  let pool = 100;
  for (const size of sizes) {
    pool = keptOf(pool, alpha);
    expect(pool).toBe(size);
  }
});

/**
 * Two draws; the one whose first token is worth less goes no further, the first of equals does. If it had ended there it
 * still wins where the other one ends worse.
 */
function survivorLaw(maxTokens: number): TextLaw {
  const drawn = listCompletions(law, end, maxTokens).map(({ tokens, probability }) => {
    const [text, early] = [tokens, tokens.slice(0, 1)].map((ids) => tokenizer.decode(ids));
    return { text: text!, early: distinct(early!), hasEnded: tokens.length === 1, probability };
  });
  const survivors = new Map<string, number>();
  for (const one of drawn) {
    for (const other of drawn) {
      const [stays, goes] = one.early >= other.early ? [one, other] : [other, one];
      const isOutdone = goes.hasEnded && distinct(goes.text) > distinct(stays.text);
      add(survivors, (isOutdone ? goes : stays).text, one.probability * other.probability);
    }
  }
  return survivors;
}

describe("speculative rejection's law", () => {
  test("is that of the answer whose beginning was best", async () => {
    const options = { n: 2, lengths: [1] };
    const observed = await observe(speculativeRejection, {
      reward: cannedReward(distinct),
      options,
    });
    expect(chiSquare(observed, survivorLaw(2), draws)).toBeLessThan(limit);
    const bestOfTwo = bestOf(textLaw(2), distinct, 2);
    expect(chiSquare(observed, bestOfTwo, draws)).toBeGreaterThan(2 * limit);
  });

  test.each([
    ["alpha = 0", { n: 6, alpha: 0, lengths: [1, 2, 4] }],
    ["no length is reached", { n: 6, alpha: 0.9, lengths: [9] }],
  ])("is best-of-n, token for token, when %s", async (_, options) => {
    for (const seed of seeds) {
      const run = { reward: cannedReward(distinct), sampling: { seed } };
      const cut = await finish(speculativeRejection, { ...run, options });
      const whole = await finish(bestOfN, { ...run, options: { n: 6 } });
      expect(cut.result.candidates).toEqual(whole.result.candidates);
      expect(cut.result.chosen).toEqual(whole.result.chosen);
    }
  });
});

describe("speculative rejection", () => {
  const options = { n: 32, lengths: [1, 2, 3, 4, 5] };
  const growing = cannedReward((text) => text.length);
  const endless = { logitBias: new Map([[end, -100]]) };

  test("returns an answer that ended by itself, however much is cut", async () => {
    for (const seed of seeds) {
      for (const alpha of [0.3, 0.5, 0.9, 0.99]) {
        const run = { reward: growing, options: { ...options, alpha }, sampling: { seed } };
        const finished = await finish(speculativeRejection, run);
        const { cut, tokens } = best(finished);
        expect(cut).toBeNull();
        expect(tokens.length === 8 || tokens.at(-1)!.id === end).toBe(true);
      }
    }
  });

  test("spends exactly what its formula says", async () => {
    const run = { reward: growing, options, sampling: endless };
    const { result, budget } = await finish(speculativeRejection, run);
    expect(budget.tokens).toBe(32 + 16 + 8 + 4 + 2 + 1 * (8 - 5));
    expect(budget.rewardCalls).toBe(32 + 16 + 8 + 4 + 2 + 1);
    const lengths = result.candidates.map(({ tokens }) => tokens.length);
    expect(lengths.toSorted((a, b) => b - a).slice(0, 3)).toEqual([8, 5, 4]);
    const rejected = result.candidates.filter(({ cut }) => cut === "rejected");
    expect(rejected).toHaveLength(31);
  });

  test("gives the same answer however slowly verdicts come", async () => {
    const slow = cannedReward(async (text) => {
      for (let i = distinct(text) % 7; i > 0; i--) await nextTick();
      return distinct(text);
    });
    const fast = cannedReward(distinct);
    for (const seed of seeds) {
      const run = { options: { n: 8, lengths: [1, 2, 4, 6] }, sampling: { seed } };
      const late = await finish(speculativeRejection, { ...run, reward: slow });
      const early = await finish(speculativeRejection, { ...run, reward: fast });
      expect(best(late).text).toBe(best(early).text);
    }
  });

  test("keeps as many answers to their end as are wanted", async () => {
    for (const seed of seeds) {
      const run = { reward: growing, options: { ...options, alpha: 0.9 }, sampling: { seed } };
      const { candidates, chosen } = (await finish(speculativeRejection, { ...run, choices: 5 }))
        .result;
      for (const index of chosen) expect(candidates[index]!.cut).toBeNull();
      const rewards = chosen.map((index) => candidates[index]!.reward!);
      expect(rewards).toEqual(rewards.toSorted((a, b) => b - a));
    }
  });

  test("does not compare where nobody could be judged, and says so", async () => {
    const reward = cannedReward((text) => (text.length < 3 ? Number.NaN : text.length));
    const run = { reward, options: { n: 8, lengths: [1] } };
    const { result } = await finish(speculativeRejection, run);
    expect(result.candidates.every(({ cut }) => cut === null)).toBe(true);
    expect(result.warnings).toEqual(["No candidate could be judged after 1 tokens."]);
  });

  test("ends inside its budget with the best so far, and says so", async () => {
    const run = { reward: growing, options: { n: 8, lengths: [2] }, sampling: endless };
    const tokens = await finish(speculativeRejection, { ...run, budget: { tokens: 24 } });
    expect(tokens.result.stopped).toBe("tokens");
    expect(tokens.budget.tokens).toBeLessThanOrEqual(24);
    const longest = Math.max(...tokens.result.candidates.map(({ reward }) => reward ?? 0));
    expect(best(tokens).reward).toBe(longest);
  });

  test("refuses lengths that do not ascend", async () => {
    const run = { reward: growing, options: { lengths: [4, 4] } };
    await expect(finish(speculativeRejection, run)).rejects.toMatchObject({
      param: "alignment.lengths",
    });
  });

  test("refuses to return more than it draws", async () => {
    const run = { reward: growing, options: { n: 2 }, choices: 3 };
    await expect(finish(speculativeRejection, run)).rejects.toMatchObject({ param: "n" });
  });
});

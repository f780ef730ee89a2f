import { describe, expect, test } from "vitest";
import { weakToStrong } from "../../src/strategies/weak-to-strong.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { chatTokenizer, end, law, otherLaw, tabularPolicy } from "../support/tabular-policy.ts";
import { bestOf, chiSquare, draws, limit, listTexts, observe, textLaw } from "./laws.ts";
import { best, finish, serving } from "./support.ts";

/** Σ ln tuned − ln base over an answer's tokens, from the tables. */
function ratioOf(tokens: readonly number[]): number {
  return tokens.reduce((sum, id, t) => {
    const before = tokens.slice(0, t);
    return sum + Math.log(otherLaw(before).get(id)! / law(before).get(id)!);
  }, 0);
}

describe("weak-to-strong's law", () => {
  test("is best-of-K by the pair's log-ratio with one beam of whole answers", async () => {
    const options = { beams: 1, successors: 3, chunk_tokens: 8 };
    const observed = await observe(weakToStrong, { options });
    const ratios = new Map(listTexts(2).map(({ text, tokens }) => [text, ratioOf(tokens)]));
    expect(new Set(ratios.values()).size).toBe(13);
    const expected = bestOf(textLaw(2), (text) => ratios.get(text)!, 3);
    expect(chiSquare(observed, expected, draws)).toBeLessThan(limit);
    expect(chiSquare(observed, textLaw(2), draws)).toBeGreaterThan(10 * limit);
  });
});

describe("weak-to-strong", () => {
  const options = { beams: 2, successors: 3, chunk_tokens: 2 };

  test("returns the finished answer of the highest log-ratio", async () => {
    for (let seed = 0; seed < 12; seed++) {
      const { result } = await finish(weakToStrong, { options, sampling: { seed } });
      const ended = result.candidates.filter(({ cut }) => cut === null);
      const ratios = ended.map(({ tokens }) => ratioOf(tokens.map(({ id }) => id)));
      const chosen = result.candidates[result.chosen[0]!]!;
      expect(chosen.cut).toBeNull();
      expect(ratioOf(chosen.tokens.map(({ id }) => id))).toBeCloseTo(Math.max(...ratios), 5);
    }
  });

  test("keeps as many beams as it is told", async () => {
    const { result } = await finish(weakToStrong, {
      options,
      sampling: { maxTokens: 4, logitBias: new Map([[end, -100]]) },
    });
    const rejected = result.candidates.filter(({ cut }) => cut === "rejected");
    expect(rejected).toHaveLength(4); // of 6 first chunks two stay
    expect(result.candidates).toHaveLength(4 + 6);
  });

  test("only reports a reward, for answers that ended", async () => {
    const reward = cannedReward((text) => text.length);
    const judged = await finish(weakToStrong, { options, reward });
    const plain = await finish(weakToStrong, { options });
    expect(best(judged).text).toBe(best(plain).text);
    expect(best(judged).reward).toBe(best(judged).text.length);
    expect(best(plain).reward).toBeNull();
  });

  test("ends inside its budget with the best so far, and says so", async () => {
    const finished = await finish(weakToStrong, { options, budget: { tokens: 7 } });
    expect(finished.result.stopped).toBe("tokens");
    expect(finished.budget.tokens).toBeLessThan(7 + 6);
  });

  test("refuses to run without its pair", async () => {
    const alone = { options: { tuned: "other", base: "" } };
    await expect(finish(weakToStrong, alone)).rejects.toMatchObject({ param: "alignment.base" });
  });

  test("puts the conversation to a pair of other tokens, but no token ids", async () => {
    const foreign = tabularPolicy({ id: "foreign", tokenizer: chatTokenizer(["ab ab"], 262) });
    const models = serving(foreign);
    const options = { tuned: "foreign", base: "other", beams: 1, chunk_tokens: 8 };
    const { result } = await finish(weakToStrong, { models, options });
    expect(result.chosen).toHaveLength(1);
    const conversation = { kind: "tokens", tokens: [5, 6] } as const;
    const run = { models, options, conversation };
    await expect(finish(weakToStrong, run)).rejects.toMatchObject({ param: "prompt" });
  });
});

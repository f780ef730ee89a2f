/** What candidates show, and what is warned of. */
import { describe, expect, test } from "vitest";
import { findingsOf } from "../../src/gateway/findings.ts";
import type { HoldoutReport } from "../../src/gateway/holdout.ts";
import { warningsAbout } from "../../src/gateway/warnings.ts";
import type { ScoredCandidate } from "../../src/strategies/define.ts";

const candidate = (index: number, fields: Partial<ScoredCandidate> = {}): ScoredCandidate => ({
  index,
  text: `answer ${index}`,
  tokens: [],
  logprob: 0,
  finishReason: "stop",
  reward: index,
  rewardProblem: null,
  cut: null,
  ...fields,
});
const candidates = (count: number, fieldsOf: (index: number) => Partial<ScoredCandidate>) =>
  Array.from({ length: count }, (_, index) => candidate(index, fieldsOf(index)));

/** Of the first choice 0 unless said. */
const warned = (of: readonly ScoredCandidate[], chosen = 0, holdout: HoldoutReport | null = null) =>
  warningsAbout(of, [], findingsOf(of, chosen, holdout));

describe("the spread of rewards", () => {
  test("is over judged candidates, divided by n − 1", () => {
    // 2, 4, 4, 4, 5, 5, 7, 9: mean 5, squares 32
    const rewards = [2, 4, 4, 4, 5, 5, 7, 9, null];
    const { rewards: spread } = findingsOf(
      candidates(9, (i) => ({ reward: rewards[i]! })),
      0,
      null,
    );
    expect(spread).toEqual({ n: 8, mean: 5, deviation: Math.sqrt(32 / 7), min: 2, max: 9 });
  });

  test("leaves out what was cut for being worse, not what the budget ended", () => {
    const cuts = ["rejected", "decided", "budget", null] as const;
    const { rewards } = findingsOf(
      candidates(4, (i) => ({ cut: cuts[i]! })),
      3,
      null,
    );
    expect(rewards).toMatchObject({ n: 2, mean: 2.5 });
  });

  test("of one reward is none, and without any is missing", () => {
    expect(findingsOf([candidate(0)], 0, null).rewards).toMatchObject({ n: 1, deviation: null });
    expect(findingsOf([candidate(0, { reward: null })], 0, null).rewards).toBeNull();
  });
});

describe("duplicates", () => {
  test("are warned of where no more than half of four or more differ", () => {
    const texts = (count: number, different: number) =>
      candidates(count, (i) => ({ text: `answer ${i % different}` }));
    expect(findingsOf(texts(8, 4), 0, null).distinct).toEqual({ texts: 4, of: 8 });
    expect(warned(texts(8, 4))).toEqual([
      { kind: "duplicates", text: expect.stringMatching(/^Only 4 of 8 candidates differ/) },
    ]);
    expect(warned(texts(8, 5))).toEqual([]);
    expect(warned(texts(3, 1))).toEqual([]);
  });
});

describe("length and reward", () => {
  const ofLength = (count: number, rewardOf: (length: number) => number) =>
    candidates(count, (i) => ({ text: "x".repeat(i), reward: rewardOf(i) }));

  test("that rise together are warned of, and so are those that fall", () => {
    const rising = ofLength(10, (length) => length ** 2);
    expect(findingsOf(rising, 0, null).lengthCorrelation).toBeCloseTo(1, 12);
    expect(warned(rising)).toEqual([
      { kind: "length", text: expect.stringMatching(/prefers longer .* 1\.00 over 10 candidates/) },
    ]);
    expect(warned(ofLength(12, (length) => -length))).toEqual([
      { kind: "length", text: expect.stringMatching(/prefers shorter .* -1\.00 over 12/) },
    ]);
  });

  test("say nothing about fewer than ten candidates", () => {
    const few = ofLength(9, (length) => length);
    expect(findingsOf(few, 0, null).lengthCorrelation).toBeNull();
    expect(warned(few)).toEqual([]);
  });

  test("are not warned of where chance gives as much", () => {
    // ρ = 1 − 6·Σd²/990; one in a hundred lies beyond 0.765
    const stronger = [3, 1, 4, 0, 2, 6, 5, 9, 7, 8];
    const weaker = [3, 1, 5, 0, 2, 6, 4, 9, 7, 8];
    const ranked = (ranks: readonly number[]) => ofLength(10, (i) => ranks[i]!);
    expect(findingsOf(ranked(stronger), 0, null).lengthCorrelation).toBeCloseTo(
      1 - (6 * 34) / 990,
      12,
    );
    expect(findingsOf(ranked(weaker), 0, null).lengthCorrelation).toBeCloseTo(
      1 - (6 * 42) / 990,
      12,
    );
    expect(warned(ranked(stronger)).map(({ kind }) => kind)).toEqual(["length"]);
    expect(warned(ranked(weaker))).toEqual([]);
  });
});

describe("a held-out reward", () => {
  const held = (scores: readonly (number | null)[], chosen: number): HoldoutReport => {
    const judged = scores.filter((score) => score !== null);
    const mean = judged.reduce((sum, score) => sum + score, 0) / judged.length;
    return {
      reward: "other",
      revision: "other-1",
      scores: new Map(scores.entries()),
      spread: { n: judged.length, mean, deviation: null, min: 0, max: 0 },
      chosen: scores[chosen]!,
      problems: judged.length < scores.length ? ["down"] : [],
    };
  };
  const three = candidates(3, () => ({})); // rewards 0, 1, 2

  test("is warned of where the chosen answer has less of it and more reward than the mean", () => {
    expect(warned(three, 2, held([4, 5, 3], 2))).toEqual([
      {
        kind: "holdout",
        text: expect.stringMatching(/\(2 against 1\).*'other' \(3 against 4\).*exploit/),
      },
    ]);
    expect(warned(three, 2, held([3, 4, 5], 2))).toEqual([]); // both rise
    expect(warned(three, 0, held([3, 5, 4], 0))).toEqual([]); // both fall
  });

  test("that failed for some says how many, and why", () => {
    expect(warned(three, 2, held([4, null, 5], 2)).map(({ text }) => text)).toEqual([
      "The held-out reward 'other' judged 2 of 3 candidates: down.",
    ]);
  });
});

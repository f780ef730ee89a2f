import { describe, expect, test } from "vitest";
import type { ScoredCandidate } from "../../src/strategies/define.ts";
import { majorityVote } from "../../src/strategies/majority-vote.ts";
import { answerReader, countVotes, isSettled, voteDetails } from "../../src/strategies/votes.ts";
import { weightedVote } from "../../src/strategies/weighted-vote.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { end } from "../support/tabular-policy.ts";
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
import { best, finish } from "./support.ts";

const candidate = (index: number, text: string, reward: number | null = null): ScoredCandidate => ({
  index,
  text,
  reward,
  rewardProblem: null,
  cut: null,
  tokens: [],
  logprob: 0,
  finishReason: "stop",
});
const ballot = { answer: "auto", marker: "Answer:" } as const;
const count = (
  candidates: readonly ScoredCandidate[],
  weightOf: (each: ScoredCandidate) => number | null = () => 1,
) => countVotes(candidates, answerReader(ballot), weightOf);
const membersOf = (parties: ReturnType<typeof count>) =>
  parties.map(({ members }) => members.map(({ index }) => index));

describe("a count of votes", () => {
  test("joins all spellings of an answer", () => {
    const texts = ["It is 12.", "So \\boxed{12.0}", "#### 7", "<answer>$12$</answer>", "7"];
    const parties = count(texts.map((text, i) => candidate(i, text)));
    expect(membersOf(parties)).toEqual([
      [0, 1, 3],
      [2, 4],
    ]);
    expect(voteDetails(parties)).toEqual({ share: 0.6, answers: 2 });
  });

  test("puts what was seen first before what ties with it", () => {
    const parties = count(["9", "8", "8", "9"].map((text, i) => candidate(i, text)).toReversed());
    expect(membersOf(parties)).toEqual([
      [0, 3],
      [1, 2],
    ]);
  });

  test("hears the unfinished only where nobody finished, and the cut off never", () => {
    const unfinished = { ...candidate(0, "1"), finishReason: "length" as const };
    const cut = { ...unfinished, index: 2, cut: "decided" as const };
    expect(membersOf(count([unfinished, candidate(1, "2"), cut]))).toEqual([[1]]);
    expect(membersOf(count([unfinished, cut]))).toEqual([[0]]);
  });

  test("gives a text without an answer, or without a weight, no vote", () => {
    const candidates = [candidate(0, ""), candidate(1, "3"), candidate(2, "4")];
    expect(membersOf(count(candidates, ({ index }) => (index === 2 ? null : 1)))).toEqual([[1]]);
  });

  test("is settled when the rest cannot reach the first place", () => {
    const parties = count(["5", "5", "5", "6"].map((text, i) => candidate(i, text)));
    expect(isSettled(parties, 1)).toBe(true);
    expect(isSettled(parties, 2)).toBe(false); // a tie would be decided by who was seen first
    expect(isSettled([], 0)).toBe(false);
    const unfinished = { ...candidate(0, "1"), finishReason: "length" as const };
    expect(isSettled(count([unfinished]), 0)).toBe(false); // one that finishes would take the vote
  });
});

const byWhole = { answer: "whole", n: 3 } as const;
const reward = (text: string) => (distinct(text) * 4) / 1009;

/** The heaviest text among those that may vote, first seen first, −1 for none; written down apart from the code. */
function winner(tuple: readonly ListedText[], weightOf: (text: string) => number): number {
  const isFinished = ({ tokens }: ListedText) => tokens.at(-1) === end;
  const some = tuple.some(isFinished);
  const weights = tuple.map((own) => {
    if ((some && !isFinished(own)) || own.text === "") return 0;
    const same = tuple.filter(
      ({ text, tokens }) => text === own.text && tokens.at(-1) === own.tokens.at(-1),
    );
    return same.length * weightOf(own.text);
  });
  return Math.max(...weights) > 0 ? argmax(weights) : -1;
}

describe("majority vote", () => {
  test("has the law of the most frequent answer of three", async () => {
    const observed = await observe(majorityVote, { options: { ...byWhole, early: false } });
    const law = pickLaw(listTexts(2), 3, (tuple) =>
      certainly(
        tuple,
        Math.max(
          0,
          winner(tuple, () => 1),
        ),
      ),
    );
    expect(chiSquare(observed, law, draws)).toBeLessThan(limit);
    expect(
      chiSquare(
        observed,
        pickLaw(listTexts(2), 1, () => [1]),
        draws,
      ),
    ).toBeGreaterThan(limit);
  });

  test("gives the same answer when it ends early, with fewer tokens", async () => {
    let saved = 0;
    for (let seed = 0; seed < 40; seed++) {
      const run = { sampling: { seed, maxTokens: 8, temperature: 0.4 } };
      const all = await finish(majorityVote, { ...run, options: { early: false } });
      const early = await finish(majorityVote, { ...run, options: {} });
      expect(best(early).text).toBe(best(all).text);
      if (early.result.stopped !== "decided") continue;
      saved += all.budget.tokens - early.budget.tokens;
      const types = early.events.map(({ type }) => type);
      expect(types.indexOf("text-delta")).toBeLessThan(types.lastIndexOf("candidate-scored"));
    }
    expect(saved).toBeGreaterThan(0);
  });

  test("is not moved by a reward, which it reports", async () => {
    const run = { sampling: { temperature: 0.5 } };
    const rare = cannedReward((text) => -text.length);
    const [plain, judged] = [
      await finish(majorityVote, { ...run, options: { early: false } }),
      await finish(majorityVote, { ...run, reward: rare, options: { early: false } }),
    ];
    expect(judged.result.chosen).toEqual(plain.result.chosen);
    expect(best(judged).reward).toBe(-best(plain).text.length);
  });

  test("speaks for the next answers where several choices are asked for", async () => {
    const run = { choices: 3, options: { n: 32 }, sampling: { temperature: 0.7 } };
    const { candidates, chosen } = (await finish(majorityVote, run)).result;
    expect(new Set(chosen.map((index) => candidates[index]!.text)).size).toBe(3);
  });

  test("says when there was nothing to count", async () => {
    const run = { options: { answer: "boxed", n: 4 } };
    const { chosen, warnings } = (await finish(majorityVote, run)).result;
    expect(chosen).toEqual([0]);
    expect(warnings.join()).toMatch(/None of the 4 candidates has an answer/);
  });
});

describe("weighted vote", () => {
  test("has the law of the answer with the most exp(r/β) of three", async () => {
    const beta = 2;
    const observed = await observe(weightedVote, {
      reward: cannedReward(reward),
      options: { ...byWhole, beta },
    });
    const weight = (text: string) => Math.exp(reward(text) / beta);
    const law = pickLaw(listTexts(2), 3, (tuple) => {
      const at = winner(tuple, weight);
      return certainly(tuple, at < 0 ? argmax(tuple.map(({ text }) => reward(text))) : at);
    });
    expect(chiSquare(observed, law, draws)).toBeLessThan(limit);
  });

  test.each(["exp", "sigmoid", "raw"])(
    "is the majority's when all weigh the same (%s)",
    async (weight) => {
      for (let seed = 0; seed < 20; seed++) {
        const run = { sampling: { seed, temperature: 0.7 } };
        const options = { early: false };
        const majority = await finish(majorityVote, { ...run, options });
        const reward = cannedReward(() => 0.5);
        const weighted = await finish(weightedVote, {
          ...run,
          reward,
          options: { ...options, weight },
        });
        expect(weighted.result.chosen).toEqual(majority.result.chosen);
        expect(weighted.result.details!["share"]).toBeCloseTo(
          majority.result.details!["share"]!,
          12,
        );
      }
    },
  );

  test("is the majority's for β → ∞ and best-of-n's for β → 0", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const run = { reward: cannedReward(reward), sampling: { seed, temperature: 0.7 } };
      const hot = await finish(weightedVote, { ...run, options: { beta: 1e12 } });
      const votes = new Map<string, number>();
      for (const { finishReason, text } of hot.result.candidates) {
        if (finishReason === "stop" && text !== "") votes.set(text, (votes.get(text) ?? 0) + 1);
      }
      expect(votes.get(best(hot).text)).toBe(Math.max(...votes.values()));
      const cold = await finish(weightedVote, { ...run, options: { beta: 1e-9 } });
      const finished = cold.result.candidates.filter(
        ({ finishReason, text }) => finishReason === "stop" && text !== "",
      );
      expect(best(cold).reward).toBe(Math.max(...finished.map((each) => each.reward!)));
    }
  });

  test.each([{ weight: "sigmoid" }, { weight: "exp", max_reward: 4 }])(
    "gives the same answer when it ends early ($weight)",
    async (options) => {
      let early = 0;
      for (let seed = 0; seed < 40; seed++) {
        const run = { reward: cannedReward(reward), sampling: { seed, temperature: 0.3 } };
        const all = await finish(weightedVote, { ...run, options: { ...options, early: false } });
        const some = await finish(weightedVote, { ...run, options });
        expect(best(some).text).toBe(best(all).text);
        early += some.result.stopped === "decided" ? 1 : 0;
      }
      expect(early).toBeGreaterThan(0);
    },
  );

  test("takes the most a vote can weigh from a reward that declares its range", async () => {
    let early = 0;
    for (let seed = 0; seed < 40; seed++) {
      const declaring = { ...cannedReward(reward), range: [0, 4] as const };
      const run = { reward: declaring, sampling: { seed, temperature: 0.3 } };
      const all = await finish(weightedVote, { ...run, options: { early: false } });
      const some = await finish(weightedVote, run);
      expect(best(some).text).toBe(best(all).text);
      early += some.result.stopped === "decided" ? 1 : 0;
    }
    expect(early).toBeGreaterThan(0);
  });

  test("weighs votes alike however far above them the range ends", async () => {
    const distant = { ...cannedReward(reward), range: [0, 1e6] as const };
    const run = { sampling: { temperature: 0.3 } };
    const { result } = await finish(weightedVote, { ...run, reward: distant });
    const plain = await finish(weightedVote, { ...run, reward: cannedReward(reward) });
    expect(result.chosen).toEqual(plain.result.chosen);
    expect(result.details).toEqual(plain.result.details);
  });

  test("does not end early where the most a vote can weigh is unknown", async () => {
    for (const weight of ["exp", "raw"]) {
      const run = { reward: cannedReward(() => 1), sampling: { temperature: 0 } };
      const { result } = await finish(weightedVote, { ...run, options: { weight } });
      expect(result.stopped).toBe("complete");
    }
  });

  test("lets the highest reward speak for the winning answer", async () => {
    const spelled = cannedReward((text) => text.length);
    const options = { answer: "marker", marker: "b", n: 32, beta: 100 };
    const finished = await finish(weightedVote, { reward: spelled, options });
    const answerOf = answerReader({ answer: "marker", marker: "b" });
    const won = answerOf(best(finished));
    const same = finished.result.candidates.filter(
      (each) => each.finishReason === "stop" && answerOf(each) === won,
    );
    expect(same.length).toBeGreaterThan(1);
    expect(best(finished).reward).toBe(Math.max(...same.map((each) => each.reward!)));
  });

  test("fails when no candidate has a reward, and hears only those that have", async () => {
    const none = cannedReward(() => Number.NaN);
    await expect(finish(weightedVote, { reward: none })).rejects.toMatchObject({
      code: "all_candidates_failed",
    });
    const some = cannedReward((text) => (text.includes("a") ? 1 : Number.NaN));
    const finished = await finish(weightedVote, { reward: some, sampling: { seed: 5 } });
    expect(best(finished).text).toContain("a");
  });
});

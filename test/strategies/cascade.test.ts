import { describe, expect, test } from "vitest";
import { cascade } from "../../src/strategies/cascade.ts";
import { sample } from "../../src/strategies/sample.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { type Law, tabularGenerator } from "../support/tabular-generator.ts";
import { end, tabularPolicy, tokenizer } from "../support/tabular-policy.ts";
import { chiSquare, draws, listTexts, observe } from "./laws.ts";
import { best, finish, serving } from "./support.ts";

const c = tokenizer.idOf("c")!;
/** Always says cc. */
const certain: Law = (history) => new Map([[history.length < 2 ? c : end, 1]]);
const large = tabularPolicy({
  id: "large",
  generator: tabularGenerator({ law: certain, vocabSize: tokenizer.vocabSize, revision: "cc-1" }),
});
const models = serving(large);
const members = [{}, { model: "large" }];
const rewardOf = (text: string) => ({ a: 0.9, "": 0.5, cc: 0.7 })[text] ?? 0.2;
const reward = () => cannedReward(rewardOf);

describe("cascade by reward", () => {
  test("keeps the first answer that reaches the threshold, and asks the next where none does", async () => {
    const options = { members, threshold: 0.5 };
    for (let seed = 0; seed < 60; seed++) {
      const run = { reward: reward(), models, options, sampling: { seed } };
      const { result, budget } = await finish(cascade, run);
      const first = result.candidates[0]!;
      const isKept = rewardOf(first.text) >= 0.5;
      expect(result.stopped).toBe("accepted");
      expect(result.details).toEqual({ asked: isKept ? 1 : 2 });
      expect(budget.rewardCalls).toBe(isKept ? 1 : 2);
      expect(result.candidates[result.chosen[0]!]!.text).toBe(isKept ? first.text : "cc");
      expect(result.candidates[1]?.source?.revision).toBe(isKept ? undefined : "cc-1");
    }
  });

  test("has the law of the small model's good answers, the rest being the large one's", async () => {
    const observed = await observe(cascade, {
      reward: reward(),
      models,
      options: { members, threshold: 0.5 },
    });
    const kept = listTexts(2).filter(({ text }) => rewardOf(text) >= 0.5 && text !== "cc");
    const law = new Map(kept.map(({ text, probability }) => [text, probability]));
    law.set("cc", 1 - kept.reduce((sum, { probability }) => sum + probability, 0));
    expect(law.size).toBe(3);
    expect(chiSquare(observed, law, draws)).toBeLessThan(13.82); // 2 degrees of freedom, p = 0.001
  });

  test("answers with the best of all where none suffices, and says so", async () => {
    const run = { reward: reward(), models, options: { members, n: 4, threshold: 5 } };
    const finished = await finish(cascade, run);
    const rewards = finished.result.candidates.map((candidate) => candidate.reward!);
    expect(rewards).toHaveLength(8);
    expect(best(finished).reward).toBe(Math.max(...rewards));
    expect(finished.result.warnings).toEqual([
      "None of the 2 members that were asked reached a reward of 5.",
    ]);
    expect(finished.result.stopped).toBe("complete");
  });

  test("asks nobody else when the budget is spent", async () => {
    const run = { reward: reward(), models, options: { members, threshold: 5 } };
    const { result } = await finish(cascade, { ...run, budget: { rewardCalls: 1 } });
    expect(result).toMatchObject({ stopped: "reward_calls", details: { asked: 1 } });
  });

  test("asks the next where the first was not judged", async () => {
    const source = cannedReward((text) => (text === "cc" ? 1 : Number.NaN));
    const run = { reward: source, models, options: { members } };
    expect(best(await finish(cascade, run)).text).toBe("cc");
  });

  test("is sampling with one member that always suffices", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const run = { reward: reward(), sampling: { seed } };
      const one = await finish(cascade, { ...run, options: { threshold: -1 } });
      expect(best(one).tokens).toEqual(best(await finish(sample, run)).tokens);
    }
  });
});

describe("cascade by agreement", () => {
  const options = { members, n: 5, accept: "agreement", answer: "whole" };

  test("keeps an answer that enough samples share", async () => {
    const run = { reward: reward(), models, sampling: { temperature: 0 } };
    const { result } = await finish(cascade, { ...run, options: { ...options, threshold: 1 } });
    expect(result).toMatchObject({ stopped: "accepted", details: { asked: 1 } });
  });

  test("asks the next where they disagree", async () => {
    const run = { reward: reward(), models, sampling: { seed: 4 } };
    const finished = await finish(cascade, { ...run, options: { ...options, threshold: 1 } });
    expect(finished.result).toMatchObject({ stopped: "accepted", details: { asked: 2 } });
    expect(best(finished).text).toBe("cc");
  });
});

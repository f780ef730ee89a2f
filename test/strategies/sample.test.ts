import { describe, expect, test } from "vitest";
import { sample } from "../../src/strategies/sample.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { chiSquare, draws, limit, observe, textLaw } from "./laws.ts";
import { finish } from "./support.ts";

describe("sample", () => {
  test("follows the policy's own law", async () => {
    const observed = await observe(sample, {});
    const law = textLaw(2);
    expect(law.size).toBe(13);
    expect(chiSquare(observed, law, draws)).toBeLessThan(limit);
  });

  test("streams text before its candidate is complete", async () => {
    const { events } = await finish(sample, { choices: 4, sampling: { seed: 3 } });
    const types = events.map(({ type }) => type);
    expect(types.indexOf("text-delta")).toBeLessThan(types.indexOf("candidate-scored"));
  });

  test("moves nothing: its KL is 0", async () => {
    const { result } = await finish(sample, { reward: cannedReward((text) => text.length) });
    expect(result.kl).toEqual({ bound: 0, estimate: 0 });
  });

  test("keeps the order it drew in, whatever the rewards say", async () => {
    const reward = cannedReward((text) => text.length);
    const { result } = await finish(sample, { reward, choices: 8 });
    expect(result.chosen).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(result.candidates.map((candidate) => candidate.reward)).toEqual(
      result.candidates.map(({ text }) => text.length),
    );
  });

  test("asks for no reward when none is named, and reports none", async () => {
    const { result, budget } = await finish(sample, { choices: 2 });
    expect(budget.rewardCalls).toBe(0);
    for (const candidate of result.candidates) {
      expect(candidate).toMatchObject({ reward: null, rewardProblem: null });
    }
  });

  test("answers although the reward fails, and says why it has none", async () => {
    const reward = cannedReward(() => {
      throw new Error("the scorer is down");
    });
    const { result } = await finish(sample, { reward });
    expect(result.candidates[0]).toMatchObject({
      reward: null,
      rewardProblem: "the scorer is down",
    });
  });
});

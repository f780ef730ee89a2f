/** Rewards without what they give for length. */
import { describe, expect, test } from "vitest";
import { judgementOf } from "../../src/rewards/define.ts";
import { lengthControlled } from "../../src/rewards/length-controlled.ts";
import { flaggedReward } from "../support/canned-reward.ts";
import { cannedSpeaker } from "../support/canned-speaker.ts";
import { makeReward, open, scoresOf, tableReward } from "../support/reward-world.ts";

const texts = ["a", "a b", "a b c", "a b c d"];
const judge = tableReward("judge", { a: 1, "a b": 3, "a b c": 2, "a b c d": 4, other: 5 });
const made = (options: Readonly<Record<string, unknown>>, speaker = cannedSpeaker(texts)) =>
  makeReward(lengthControlled, { reward: "judge", ...options }, { rewards: [judge], speaker });

describe("a length-controlled reward", () => {
  test("takes the slope for each unit beyond the typical length, and gives it below", async () => {
    const reward = made({ slope: 0.5, typical: 2 });
    expect(await scoresOf(reward, texts)).toEqual([1.5, 3, 1.5, 3]);
  });

  test("counts characters, or a policy's tokens", async () => {
    const characters = made({ slope: 1, typical: 0, unit: "characters" });
    expect(await scoresOf(characters, ["a b"])).toEqual([0]);
    const tokens = made({ slope: 1, typical: 0, unit: "tokens", policy: "policy" });
    expect(await scoresOf(tokens, ["a b"])).toEqual([0]);
  });

  test("fits the slope to a policy's answers, after which length says nothing about the reward", async () => {
    // lengths 1…4, rewards 1, 3, 2, 4: covariance 1, variance 1.25, slope 0.8 about 2.5
    const reward = made({ reference: { policy: "policy", n: 4 } });
    const scores = await scoresOf(reward, texts);
    for (const [i, expected] of [2.2, 3.4, 1.6, 2.8].entries()) {
      expect(scores[i]).toBeCloseTo(expected, 12);
    }
    const covariance = scores.reduce((sum, score, i) => sum + score * (i - 1.5), 0);
    expect(covariance).toBeCloseTo(0, 12);
  });

  test("tells how the reward that it corrects came about", async () => {
    const flagged = flaggedReward(
      (text) => text.length,
      (text) => (text === "a" ? "mean-logprob" : null),
      "judge",
    );
    const options = { reward: "judge", slope: 1, typical: 0 };
    const session = open(makeReward(lengthControlled, options, { rewards: [flagged] }));
    expect((await judgementOf(session, "a")).flags).toEqual(["mean-logprob"]);
    expect((await judgementOf(session, "a b")).flags).toBeUndefined();
    session.close();
  });

  test("takes nothing where all lengths are the same", async () => {
    const speaker = cannedSpeaker(["a", "other"]);
    const reward = made({ reference: { policy: "policy", n: 4 } }, speaker);
    expect(await scoresOf(reward, ["a b c d"])).toEqual([4]);
  });

  test("fails where there is nothing to fit it to", async () => {
    const speaker = cannedSpeaker(["unknown"]);
    const reward = made({ reference: { policy: "policy", n: 4 } }, speaker);
    await expect(scoresOf(reward, ["a"])).rejects.toMatchObject({ code: "calibration_failed" });
  });

  test("takes no prefixes, which are short for another reason", () => {
    expect(made({ slope: 1, typical: 1 }).acceptsPrefixes).toBe(false);
  });

  test.each<[string, Readonly<Record<string, unknown>>, RegExp]>([
    ["neither slope nor reference", {}, /either slope and typical, or a reference/],
    ["both", { slope: 1, reference: { policy: "policy" } }, /either/],
    ["a slope without a typical length", { slope: 1 }, /typical'.*is required/],
    ["tokens of nobody", { slope: 1, typical: 1, unit: "tokens" }, /policy'.*to count tokens/],
  ])("refuses %s", (_, options, message) => {
    expect(() => made(options)).toThrow(message);
  });
});

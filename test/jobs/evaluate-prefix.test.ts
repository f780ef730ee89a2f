/** Prefix fidelity of rewards whose fidelity is known. */
import { describe, expect, test } from "vitest";
import { evaluatePrefix, fidelityOf } from "../../src/jobs/evaluate-prefix.ts";
import type { Reward, ScoreOptions } from "../../src/rewards/define.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { tabularPolicy } from "../support/tabular-policy.ts";

const policy = tabularPolicy({ contextTokens: 4_000 });
const evaluate = (reward: Reward) =>
  evaluatePrefix({
    policy,
    reward,
    promptsPerDomain: 6,
    n: 8,
    seed: 1,
    onProgress: () => undefined,
  });

/** The same of an answer and of all its beginnings, but for its sign. */
function byFirstLetter(signUnfinished: number): Reward {
  const canned = cannedReward((text) => (text === "" ? 0 : text.charCodeAt(0)));
  return {
    ...canned,
    open(prompt, signal) {
      const session = canned.open(prompt, signal);
      const score = async (text: string, { isFinished = true }: ScoreOptions = {}) =>
        (isFinished ? 1 : signUnfinished) * (await session.score(text));
      return { ...session, score };
    },
  };
}

describe("prefix fidelity", () => {
  test("is 1 of a reward that knows the end from the beginning", async () => {
    const { rows } = await evaluate(byFirstLetter(1));
    const kinds = ["arithmetic", "support"].flatMap((domain) =>
      ["same", "own"].flatMap((cut) => [0.25, 0.5, 0.75].map((share) => ({ domain, cut, share }))),
    );
    expect(rows.map(({ domain, cut, share }) => ({ domain, cut, share }))).toEqual(kinds);
    for (const { fidelity } of rows) {
      expect(fidelity!.correlation.low).toBeCloseTo(1, 12);
      expect(fidelity!.agreement).toEqual({ estimate: 1, low: 1, high: 1 });
      expect(fidelity!.chance.estimate).toBeLessThan(1);
    }
  });

  test("is −1 of one that turns round at the end: prefixes are asked for as unfinished", async () => {
    const { rows } = await evaluate(byFirstLetter(-1));
    for (const { cut, fidelity } of rows) {
      if (cut === "own") {
        expect(fidelity!.correlation.high).toBeCloseTo(-1, 12);
        expect(fidelity!.agreement.estimate).toBe(0);
      } else {
        expect(fidelity!.correlation.estimate).toBeGreaterThan(-1); // answers that have ended are whole
      }
    }
  });

  test("is none of a reward that calls all answers equal", async () => {
    const { rows } = await evaluate(cannedReward(() => 1));
    for (const row of rows) {
      expect(row).toMatchObject({ fidelity: null, promptsWithoutOrder: 6 });
    }
  });

  test("breaks ties by chance", () => {
    const { agreement, chance } = fidelityOf([{ prefix: [3, 3, 1], whole: [1, 2, 0] }]);
    expect(agreement.estimate).toBe(0.5);
    expect(chance.estimate).toBeCloseTo(1 / 3, 12);
    expect(fidelityOf([{ prefix: [1, 2, 3], whole: [5, 5, 1] }]).chance.estimate).toBeCloseTo(
      2 / 3,
      12,
    );
  });

  test("is the mean over prompts", () => {
    const { correlation, agreement } = fidelityOf([
      { prefix: [1, 2, 3], whole: [10, 20, 30] },
      { prefix: [3, 2, 1], whole: [10, 20, 30] },
    ]);
    expect(correlation).toEqual({ estimate: 0, low: -1, high: 1 });
    expect(agreement.estimate).toBe(0.5);
  });
});

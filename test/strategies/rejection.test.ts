import { describe, expect, test } from "vitest";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { bestOfNBound } from "../../src/strategies/kl.ts";
import { rejection } from "../../src/strategies/rejection.ts";
import { sample } from "../../src/strategies/sample.ts";
import { cannedReward } from "../support/canned-reward.ts";
import {
  argmax,
  certainly,
  chiSquare,
  distinct,
  draws,
  limit,
  listTexts,
  observe,
  pickLaw,
} from "./laws.ts";
import { best, finish } from "./support.ts";

const listed = listTexts(2);
const answers = (options: Readonly<Record<string, unknown>>) =>
  observe(rejection, { reward: cannedReward(distinct), options });
const half = listed.map(({ text }) => distinct(text)).toSorted((a, b) => a - b)[6]!;

describe("rejection's law", () => {
  test("is the policy's, given that the threshold is reached", async () => {
    const passing = listed.filter(({ text }) => distinct(text) >= half);
    const mass = passing.reduce((sum, { probability }) => sum + probability, 0);
    expect(mass).toBeGreaterThan(0.1);
    const law = new Map(passing.map(({ text, probability }) => [text, probability / mass]));
    const observed = await answers({ n: 128, wave: 8, threshold: half });
    expect([...observed.keys()].every((text) => law.has(text))).toBe(true);
    expect(chiSquare(observed, law, draws)).toBeLessThan(22.46); // 6 degrees of freedom, p = 0.001
  });

  test.each([1, 2, 3])(
    "with waves of %i takes the first of three to pass, else the best",
    async (wave) => {
      const law = pickLaw(listed, 3, (tuple) => {
        const rewards = tuple.map(({ text }) => distinct(text));
        const first = rewards.findIndex((reward) => reward >= half);
        return certainly(tuple, first < 0 ? argmax(rewards) : first);
      });
      const observed = await answers({ n: 3, wave, threshold: half });
      expect(chiSquare(observed, law, draws)).toBeLessThan(limit);
    },
  );

  test("is sampling when everything passes, and best-of-n when nothing does", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const run = { reward: cannedReward(distinct), sampling: { seed } };
      const all = await finish(rejection, { ...run, options: { threshold: -1e300 } });
      expect(best(all).tokens).toEqual(best(await finish(sample, run)).tokens);
      const none = await finish(rejection, { ...run, options: { threshold: 1e300, wave: 16 } });
      expect(none.result.chosen).toEqual((await finish(bestOfN, run)).result.chosen);
    }
  });
});

describe("a threshold that is reached", () => {
  test("ends the search and those that still decode; the answer is final at once", async () => {
    const options = { threshold: 0, wave: 8 };
    const { events, result } = await finish(rejection, { reward: cannedReward(distinct), options });
    expect(result).toMatchObject({ stopped: "accepted", warnings: [] });
    expect(result.candidates).toHaveLength(8);
    expect(result.candidates.some(({ cut }) => cut === "decided")).toBe(true);
    const types = events.map(({ type }) => type);
    expect(types.indexOf("text-delta")).toBeLessThan(types.lastIndexOf("candidate-cut"));
  });

  test("is reached by as many as there are choices", async () => {
    const run = { reward: cannedReward(distinct), options: { threshold: half, n: 64 }, choices: 3 };
    const { candidates, chosen, stopped } = (await finish(rejection, run)).result;
    expect(stopped).toBe("accepted");
    const passing = candidates.filter(({ reward }) => reward !== null && reward >= half);
    expect(chosen).toEqual(passing.slice(0, 3).map(({ index }) => index));
  });
});

describe("a threshold that nobody reaches", () => {
  test("gives the best of all, and says so", async () => {
    const run = { reward: cannedReward(distinct), options: { threshold: 1e6, n: 6 } };
    const finished = await finish(rejection, run);
    const rewards = finished.result.candidates.map(({ reward }) => reward!);
    expect(best(finished).reward).toBe(Math.max(...rewards));
    expect(finished.result.stopped).toBe("complete");
    expect(finished.result.warnings).toEqual([
      "No candidate reached the threshold of 1000000: the best of 6 candidates fill the place.",
    ]);
    expect(finished.result.kl.bound).toBe(bestOfNBound(6));
  });
});

describe("a threshold of the prompt's own", () => {
  test("is a quantile of the pilots' rewards, none of which is accepted", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const options = { n: 64, pilot: 5, quantile: 0.5 };
      const run = { reward: cannedReward(distinct), options, sampling: { seed } };
      const { candidates, chosen, details, stopped } = (await finish(rejection, run)).result;
      const pilots = candidates.slice(0, 5).map(({ reward }) => reward!);
      const median = pilots.toSorted((a, b) => a - b)[2]!;
      expect(details!["threshold"]).toBe(median);
      expect(stopped).toBe("accepted");
      expect(chosen[0]).toBeGreaterThanOrEqual(5);
      expect(candidates[chosen[0]!]!.reward).toBeGreaterThanOrEqual(median);
    }
  });

  test("needs candidates besides the pilots", async () => {
    const run = { reward: cannedReward(distinct), options: { n: 4, pilot: 4 } };
    await expect(finish(rejection, run)).rejects.toMatchObject({ param: "alignment.pilot" });
  });
});

test("a candidate without a reward does not pass, nor stand in the way", async () => {
  const reward = cannedReward((text) => (text.includes("a") ? 1 : Number.NaN));
  const finished = await finish(rejection, { reward, options: { threshold: 0 } });
  expect(best(finished).text).toContain("a");
  expect(finished.result.stopped).toBe("accepted");
});

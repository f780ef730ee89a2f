/** Rewards that declare their range keep it, and reach its upper end: a search stops there. */
import { describe, expect, test } from "vitest";
import type { Reward } from "../../src/rewards/define.ts";
import { ensemble } from "../../src/rewards/ensemble.ts";
import { rewardKindNamed } from "../../src/rewards/index.ts";
import { makeReward, open, tableReward } from "../support/reward-world.ts";

const worth = { matched: 0.7, unmatched: -0.2 };
const texts = ["", "7", "x", "Answer: 7", '{"a": 1}', "[]", "<answer>7</answer>", "one two three"];
const made = (kind: string, options: Readonly<Record<string, unknown>>) =>
  makeReward(rewardKindNamed(kind, "reward"), options, {});

describe.each<[string, Readonly<Record<string, unknown>>, readonly [number, number]]>([
  ["regex", { pattern: "7", ...worth }, [-0.2, 0.7]],
  ["regex", { pattern: "7", matched: -1, unmatched: 2 }, [-1, 2]],
  ["exact-match", { expected: "7", ...worth, missing: -3 }, [-3, 0.7]],
  ["numeric-match", { expected: 7, ...worth }, [-0.2, 0.7]],
  ["json-schema", { partial: true, ...worth }, [-0.2, -0.2 + 0.9]],
  ["format-tags", { tags: ["answer"], partial: true, ...worth }, [-0.2, -0.2 + 0.9]],
  ["length", { max: 2 }, [Number.NEGATIVE_INFINITY, 0]],
  ["script", { scripts: ["Latin"] }, [0, 1]],
])("%s with %j", (kind, options, range) => {
  test(`ranges from ${range[0]} to ${range[1]}, which some text has`, async () => {
    const reward = made(kind, options);
    expect(reward.range![0]).toBeCloseTo(range[0], 12);
    expect(reward.range![1]).toBeCloseTo(range[1], 12);
    const session = open(reward);
    const scores = await Promise.all(texts.map((text) => session.score(text)));
    const judged = scores.filter((score) => !Number.isNaN(score));
    expect(Math.max(...judged)).toBe(reward.range![1]);
    expect(Math.min(...judged)).toBeGreaterThanOrEqual(reward.range![0]);
  });
});

describe("an ensemble", () => {
  const a = { ...tableReward("a", { x: 0.3, y: 0.1 }), range: [0.1, 0.3] as const };
  const b = { ...tableReward("b", { x: 9, y: 7 }), range: [7, 9] as const };
  const open = { ...tableReward("open", { x: 1, y: 2 }) };
  const of = (options: Readonly<Record<string, unknown>>) =>
    makeReward(ensemble, { parts: ["a", "b"], ...options }, { rewards: [a, b, open] }).range;

  test.each(["mean", "median", "min", "soft-min"])(
    "that rises with each part is highest, bit for bit, where all are: %s",
    async (combine) => {
      const reward = makeReward(ensemble, { parts: ["a", "b"], combine }, { rewards: [a, b] });
      const session = reward.open({ messages: [] }, new AbortController().signal);
      expect(reward.range).toEqual([await session.score("y"), await session.score("x")]);
    },
  );

  test("declares none where a part's weight, sign or absence may take it further", () => {
    expect(of({ combine: "sum" })).toBeUndefined();
    expect(of({ combine: "mean-deviation" })).toBeUndefined();
    expect(of({ missing: "ignore" })).toBeUndefined();
    expect(of({ weights_by_user: { ann: { a: 2 } } })).toBeUndefined();
  });

  test("has no upper end where a part has none, but for the least of them", () => {
    expect(of({ parts: ["a", "open"] })).toEqual([-Infinity, Infinity]);
    expect(of({ parts: ["a", "open"], combine: "min" })).toEqual([-Infinity, 0.3]);
  });
});

describe("a calibrated reward", () => {
  const base = { ...tableReward("base", { x: 2 }), range: [0, 2] as const };
  const range = (options: Readonly<Record<string, unknown>>, reward: Reward = base) => {
    const kind = rewardKindNamed("calibrated", "reward");
    return makeReward(kind, { reward: reward.id, ...options }, { rewards: [reward] }).range;
  };

  test("has its curve's values at the ends of the other's range", () => {
    expect(range({ method: "linear", offset: 1, scale: 0.5 })).toEqual([-2, 2]);
    expect(range({ method: "isotonic", knots: [[0, 0.1], [1, 0.9]] })).toEqual([0.1, 0.9]); // biome-ignore format: one row
  });

  test("has its curve's limits where the other has no range", () => {
    const boundless = tableReward("boundless", { x: 2 });
    expect(range({ method: "logistic", slope: 1 }, boundless)).toEqual([0, 1]);
  });
});

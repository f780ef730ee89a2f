/** Rewards of several rewards: who counts, for whom, and what happens to those that say nothing. */
import { describe, expect, test } from "vitest";
import { ensemble } from "../../src/rewards/ensemble.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { makeReward, open, scoresOf, tableReward } from "../support/reward-world.ts";

const texts = ["x", "y", "z"];
const a = tableReward("a", { x: 0.2, y: 0.9, z: 0.4 });
const b = tableReward("b", { x: 0.8, y: 0.1, z: 0.7 });
const silent = tableReward("silent", { x: 3 });
const rewards = [a, b, silent];
const made = (options: Readonly<Record<string, unknown>>) =>
  makeReward(ensemble, options, { rewards });
const weighted = (weights: Readonly<Record<string, number>>) =>
  Object.entries(weights).map(([reward, weight]) => ({ reward, weight }));

async function close(actual: Promise<number[]>, expected: readonly number[]) {
  const scores = await actual;
  expect(scores).toHaveLength(expected.length);
  for (const [i, score] of scores.entries()) expect(score).toBeCloseTo(expected[i]!, 12);
}

describe("an ensemble", () => {
  test("prefers what neither of its parts does", async () => {
    await close(scoresOf(made({ parts: ["a", "b"] }), texts), [0.5, 0.5, 0.55]);
  });

  test("weighs its parts, by shares of all weights", async () => {
    const expected = [0.32, 0.74, 0.46];
    await close(scoresOf(made({ parts: weighted({ a: 0.8, b: 0.2 }) }), texts), expected);
    await close(scoresOf(made({ parts: weighted({ a: 8, b: 2 }) }), texts), expected);
  });

  test("adds up without shares when told to, also against a part", async () => {
    const reward = made({ combine: "sum", parts: weighted({ a: 2, b: -1 }) });
    await close(scoresOf(reward, texts), [-0.4, 1.7, 0.1]);
  });

  test("weighs otherwise for some users, and as ever for the rest", async () => {
    const weights_by_user = { ann: { b: 0 }, bob: { a: 0 } };
    const reward = made({ parts: ["a", "b"], weights_by_user });
    await close(scoresOf(reward, texts, "ann"), [0.2, 0.9, 0.4]);
    await close(scoresOf(reward, texts, "bob"), [0.8, 0.1, 0.7]);
    await close(scoresOf(reward, texts, "constructor"), [0.5, 0.5, 0.55]);
    await close(scoresOf(reward, texts), [0.5, 0.5, 0.55]);
  });

  test("tells what each part says, also one that counts for nothing", async () => {
    const parts = ["a", { reward: "b", weight: 0, id: "held-out" }];
    const session = open(made({ parts }));
    expect(await session.judge!("y")).toEqual({ reward: 0.9, parts: { a: 0.9, "held-out": 0.1 } });
    session.close();
  });

  test("costs what its parts cost, those of a part among them", () => {
    const three = made({ parts: ["a", "b", { reward: "silent", weight: 0 }] });
    expect(three.calls).toBe(3);
    const nested = makeReward(
      ensemble,
      { parts: ["a", "three"] },
      {
        rewards: [a, { ...three, id: "three" }],
      },
    );
    expect(nested.calls).toBe(4);
  });

  test("tells two parts of one name apart", async () => {
    const session = open(made({ parts: ["a", "b", "a"] }));
    expect(Object.keys((await session.judge!("x")).parts)).toEqual(["a", "b", "a-3"]);
    session.close();
  });

  test("fails by the name of the part without a judgement", async () => {
    const reward = made({ parts: ["a", "silent"] });
    expect(await scoresOf(reward, ["x"])).toEqual([1.6]);
    await expect(scoresOf(reward, ["y"])).rejects.toMatchObject({
      code: "reward_part_missing",
      message: expect.stringMatching(/'silent' of the reward 'mine'/),
    });
  });

  test("goes on without it when told to, and judges not where nobody does", async () => {
    const reward = made({ parts: ["a", "silent"], missing: "ignore" });
    expect(await scoresOf(reward, ["x", "y", "w"])).toEqual([1.6, 0.9, Number.NaN]);
  });

  test("does not miss a part of weight 0", async () => {
    const reward = made({ parts: ["a", { reward: "silent", weight: 0 }] });
    expect(await scoresOf(reward, ["y"])).toEqual([0.9]);
  });

  test("accepts prefixes where every part that counts does", () => {
    const whole = { ...cannedReward(() => 1, "whole"), acceptsPrefixes: false };
    const accepts = (weight: number) =>
      makeReward(ensemble, { parts: ["a", { reward: "whole", weight }] }, { rewards: [a, whole] })
        .acceptsPrefixes;
    expect(accepts(1)).toBe(false);
    expect(accepts(0)).toBe(true);
  });

  test("closes every part, those that were opened before one failed too", () => {
    const [first, second] = [cannedReward(() => 1, "first"), cannedReward(() => 1, "second")];
    const failing = {
      ...second,
      open: () => {
        throw new Error("prompt too long");
      },
    };
    const options = { parts: ["first", "second"] };
    open(makeReward(ensemble, options, { rewards: [first, second] })).close();
    expect([first.openSessions(), second.openSessions()]).toEqual([0, 0]);
    const broken = makeReward(ensemble, options, { rewards: [first, failing] });
    expect(() => open(broken)).toThrow("prompt too long");
    expect(first.openSessions()).toBe(0);
  });

  test.each<[string, Readonly<Record<string, unknown>>, RegExp]>([
    ["no part", { parts: [] }, /'reward\.parts'/],
    ["weights of 0 alone", { parts: weighted({ a: 0 }) }, /every weight is 0/],
    [
      "a user's weights of 0 alone",
      { parts: ["a"], weights_by_user: { ann: { a: 0 } } },
      /weights_by_user\.ann.*every weight is 0/,
    ],
    [
      "a user's weight of no part",
      { parts: ["a"], weights_by_user: { ann: { c: 1 } } },
      /weights_by_user\.ann\.c/,
    ],
    ["a negative weight of a mean", { parts: weighted({ a: 2, b: -1 }) }, /not negative/],
    [
      "a weight of a median",
      { combine: "median", parts: weighted({ a: 2, b: 1 }) },
      /median knows only/,
    ],
    [
      "a name given twice",
      {
        parts: [
          { reward: "a", id: "p" },
          { reward: "b", id: "p" },
        ],
      },
      /'p' is given twice/,
    ],
    [
      "a sum that leaves terms out",
      { parts: ["a", "b"], combine: "sum", missing: "ignore" },
      /missing/,
    ],
  ])("refuses %s", (_, options, message) => {
    expect(() => made(options)).toThrow(message);
  });
});

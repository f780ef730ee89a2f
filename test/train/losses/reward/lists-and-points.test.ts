/** Losses over ranked lists and labelled places: the sources' numbers. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import type { RewardPointLoss } from "../../../../src/train/losses/define.ts";
import { plackettLuce } from "../../../../src/train/losses/reward/plackett-luce.ts";
import {
  rewardClassification,
  rewardHinge,
  rewardRegression,
} from "../../../../src/train/losses/reward/points.ts";
import { nd } from "../../../support/arrays.ts";
import { column, runLoss } from "../../../support/loss-terms.ts";
import { sum } from "../../../support/naive.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

describe("plackett-luce", () => {
  /** Rewards in order of preference; null where a list is shorter. */
  const run = (lists: (number | null)[][]) => {
    const shape = [lists.length, lists[0]!.length];
    const terms = {
      scores: nd(
        shape,
        lists.flatMap((list) => list.map((reward) => reward ?? 77)),
      ),
      present: nd(
        shape,
        lists.flatMap((list) => list.map((reward) => (reward === null ? 0 : 1))),
      ),
    };
    return runLoss(runtime, plackettLuce, terms, ["scores"]);
  };

  test("of the chapter's list, in order, reversed, and of equal rewards", async () => {
    const inOrder = await run([[3, 2, 1, 0]]); // y₂ ≻ y₃ ≻ y₁ ≻ y₄ with rewards 1, 3, 2, 0
    expect(inOrder.loss).toBeCloseTo(1.1610573505237982, 12);
    expect(inOrder.metrics["accuracy"]).toBe(1);
    const [y2, y3, y1, y4] = inOrder.slopes["scores"]!;
    const expected = [0.06293136842683511, -0.35608574011202776, -0.09787622613526792];
    for (const [i, slope] of [y1, y2, y3, y4].entries())
      expect(slope).toBeCloseTo([...expected, 0.39103059782046046][i]!, 12);
    const reversed = await run([[0, 1, 2, 3]]);
    expect(reversed.loss).toBeCloseTo(7.161057350523798, 12);
    expect(reversed.metrics["accuracy"]).toBe(0);
    expect((await run([[5, 5, 5, 5]])).loss).toBeCloseTo(Math.log(24), 12);
  });

  test("gives every order its probability: those of 24 orders sum to 1", async () => {
    const orders = (rest: number[]): number[][] =>
      rest.length === 0
        ? [[]]
        : rest.flatMap((x) => orders(rest.filter((y) => y !== x)).map((tail) => [x, ...tail]));
    const losses = await Promise.all(orders([1, 3, 2, 0]).map((order) => run([order])));
    expect(losses).toHaveLength(24);
    expect(sum(losses.map(({ loss }) => Math.exp(-loss)))).toBeCloseTo(1, 12);
  });

  test("of two is Bradley-Terry, and shorter lists have no part of what fills them up", async () => {
    expect((await run([[1, 0]])).loss).toBeCloseTo(0.31326168751822286, 12);
    const mixed = await run([
      [3, 2, 1, 0],
      [1, 0, null, null],
    ]);
    expect(mixed.loss).toBeCloseTo((1.1610573505237982 + 0.31326168751822286) / 2, 12);
    expect(mixed.slopes["scores"]!.slice(6).map(Math.abs)).toEqual([0, 0]);
  });
});

const runPoints = (
  loss: RewardPointLoss,
  scores: number[],
  targets: number[],
  weights = scores.map(() => 1),
) =>
  runLoss(
    runtime,
    loss,
    { scores: column(scores), targets: column(targets), weights: column(weights) },
    ["scores"],
  );

describe("regression", () => {
  test("is positive, and least at the targets: ratings 5 and 2, segments' shares 3, 4 and −1", async () => {
    const ratings = await runPoints(rewardRegression, [4.5, 3], [5, 2]);
    expect(ratings.loss).toBeCloseTo(0.625, 12);
    expect(ratings.slopes["scores"]).toEqual([-0.5, 1]);
    const segments = await runPoints(rewardRegression, [2.5, 4, 0], [3, 4, -1]);
    expect(segments.loss).toBeCloseTo(0.4166666666666667, 12);
    expect((await runPoints(rewardRegression, [3, 4], [3, 4])).loss).toBe(0);
  });

  test("counts places by their weights", async () => {
    expect((await runPoints(rewardRegression, [1, 9], [0, 0], [3, 1])).loss).toBeCloseTo(21, 12);
    expect((await runPoints(rewardRegression, [1], [0], [0])).loss).toBe(0);
  });
});

describe("classification", () => {
  test("of right and wrong answers is their mean cross-entropy", async () => {
    const { loss, metrics } = await runPoints(rewardClassification, [2, -1, -0.5], [1, 0, 1]);
    expect(loss).toBeCloseTo((0.126928011 + 0.313261688 + 0.974076984) / 3, 9);
    expect(metrics["accuracy"]).toBeCloseTo(2 / 3, 12);
  });

  test("of a soft label is least where the score is its log-odds, and there its entropy", async () => {
    const p = 1 / (1 + Math.exp(-1.6));
    expect((await runPoints(rewardClassification, [1], [p])).loss).toBeCloseTo(
      0.48124330238429835,
      12,
    );
    const least = await runPoints(rewardClassification, [1.6], [p]);
    expect(least.loss).toBeCloseTo(0.4526713246740598, 12);
    expect(least.slopes["scores"]![0]).toBeCloseTo(0, 12);
  });
});

test.each([
  [0.3, 1, 0.7],
  [1.5, 1, 0],
  [0.3, -1, 1.3],
  [-1, -1, 0],
  [1, -1, 2],
])("the hinge of a score of %d where %d is right is %d", async (score, target, expected) => {
  expect((await runPoints(rewardHinge, [score], [target])).loss).toBeCloseTo(expected, 12);
});

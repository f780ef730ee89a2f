/** Advantages against the sources' worked examples, and identities between them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import {
  bestOnly,
  generalisedAdvantages,
  groupCentred,
  groupEstimators,
  groupNormalised,
  importanceWeights,
  isFresh,
  isMixed,
  klShaped,
  leaveOneOut,
  overlongPenalty,
  redistributed,
  rewardToGo,
  shaped,
  tdErrors,
  whitened,
} from "../../src/train/advantages.ts";
import { sum } from "../support/naive.ts";

function expectClose(actual: readonly number[], expected: readonly number[], digits = 9): void {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((each, i) => {
    expect(actual[i]).toBeCloseTo(each, digits);
  });
}

const rewards = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), {
  minLength: 2,
  maxLength: 9,
});

describe("within a group", () => {
  test("normalised by the population's deviation or the sample's, as published", () => {
    const population = { deviation: "population", epsilon: 0 } as const;
    expectClose(groupNormalised([1, 0, 0, 1], population), [1, -1, -1, 1]);
    expectClose(
      groupNormalised([3, -0.5, -1, -3], population),
      [1.5614503163, -0.0578314932, -0.289157466, -1.2144613571],
    );
    expectClose(
      groupNormalised([1, 0, 0, 1], { epsilon: 0 }),
      [0.8660254038, -0.8660254038, -0.8660254038, 0.8660254038],
    );
    expectClose(groupNormalised([1, 0]), [0.7070067821, -0.7070067821], 6);
    expect(groupNormalised([1, 0, 0, 1])[0]).toBeCloseTo(0.86587543, 8);
    expect(groupNormalised([0, 0, 1, 1, 1, 0, 0, 1])[2]).toBeCloseTo(0.935239, 6);
  });

  test("equal rewards give 0 by every estimator that compares, though their mean is rounded", () => {
    const equal = [0.1, 0.1, 0.1]; // their sum over 3 is not 0.1
    for (const estimate of [groupNormalised, groupCentred, leaveOneOut, whitened])
      expect(estimate(equal)).toEqual([0, 0, 0]);
    expect(groupNormalised([5])).toEqual([0]);
    expect(groupNormalised([])).toEqual([]);
  });

  test("leave-one-out takes the mean of the others", () => {
    expectClose(leaveOneOut([1, 3]), [-2, 2]);
    expectClose(leaveOneOut([1, 2, 4, 5]), [-8 / 3, -4 / 3, 4 / 3, 8 / 3]);
    expectClose(leaveOneOut([1, 0, 0, 1]), [2 / 3, -2 / 3, -2 / 3, 2 / 3]);
    expect(leaveOneOut([7])).toEqual([0]);
    fc.assert(
      fc.property(rewards, (given) => {
        const expected = given.map((reward, i) => {
          const others = given.filter((_, j) => j !== i);
          return reward - sum(others) / others.length;
        });
        expectClose(leaveOneOut(given), expected, 8);
      }),
    );
  });

  test("a shift of all rewards changes nothing, and advantages sum to 0", () => {
    fc.assert(
      fc.property(rewards, (given) => {
        for (const estimate of [groupCentred, leaveOneOut]) {
          expectClose(estimate(given.map((reward) => reward + 64)), estimate(given), 8);
          expect(sum(estimate(given))).toBeCloseTo(0, 8);
        }
      }),
    );
  });

  test("an answer that could not be scored gets 0 and counts in nobody's baseline", () => {
    expectClose(leaveOneOut([1, null, 3]), [-2, 0, 2]);
    expectClose(groupNormalised([1, null, 0], { epsilon: 0 }), [Math.SQRT1_2, 0, -Math.SQRT1_2]);
    expect(bestOnly([null, -5, -9])).toEqual([0, 1, 0]);
    expect(groupNormalised([null, null])).toEqual([0, 0]);
    expect(isMixed([1, null, 1])).toBe(false);
  });

  test("a reward that is not a number is refused", () => {
    for (const estimate of Object.values(groupEstimators))
      expect(() => estimate([1, Number.NaN], 0)).toThrow(InvariantError);
  });

  test("by name: the greedy answer's reward, the mean so far, one half, the best, the mixed", () => {
    const given = [1, 0, 0, 1];
    expect(groupEstimators["greedy-baseline"](given, 1)).toEqual([0, -1, -1, 0]);
    expect(groupEstimators["mean-baseline"](given, 0.25)).toEqual([0.75, -0.25, -0.25, 0.75]);
    expect(groupEstimators.preference([0.9, 0.5], 0)).toEqual([0.4, 0]);
    expect(groupEstimators.best(given, 0)).toEqual([1, 0, 0, 0]);
    expect(groupEstimators.best([0.2, 0.7, 0.5], 0)).toEqual([0, 1, 0]);
    expect(groupEstimators["mixed-reward"](given, 0)).toEqual(given);
    expect(groupEstimators["mixed-reward"]([1, 1, 1, 1], 0)).toEqual([0, 0, 0, 0]);
    expect([[0, 0], [1, 1, 1, 1], given].map(isMixed)).toEqual([false, false, true]);
  });
});

describe("over the tokens of an answer", () => {
  test("a token is credited with what comes from it on, not with what was before", () => {
    expect(rewardToGo([2, -50, 2])).toEqual([-46, -48, 2]);
    expect(rewardToGo([1, 0, 2], 0.9)[0]).toBeCloseTo(2.62, 12);
    expectClose(rewardToGo([0, 0, 1], 0.9), [0.81, 0.9, 1]);
    expectClose(rewardToGo([0, 0, 1], 0.99), [0.9801, 0.99, 1]);
  });

  test("errors of a critic, summing to what it missed at the start", () => {
    expectClose(tdErrors([0, 0, 1], [0.2, 0.5, 0.8]), [0.3, 0.3, 0.2]);
    expectClose(tdErrors([0, 0, 1], [0.2, 0.5, 0.8], 0.9), [0.25, 0.22, 0.2]);
    expect(() => tdErrors([0, 1], [0.5])).toThrow(InvariantError);
  });

  test("generalised, between the critic's errors (λ = 0) and what was earned (λ = 1)", () => {
    const [given, values] = [
      [0, 0, 1],
      [0.5, 0.6, 0.7],
    ];
    expectClose(generalisedAdvantages(given, values), [0.46575, 0.385, 0.3]);
    expectClose(generalisedAdvantages(given, values, { lambda: 1 }), [0.5, 0.4, 0.3]);
    expectClose(generalisedAdvantages([0, 0, 1], [0.2, 0.5, 0.8], { lambda: 1 }), [0.8, 0.5, 0.2]);
    fc.assert(
      fc.property(rewards, fc.double({ min: 0, max: 1, noNaN: true }), (numbers, gamma) => {
        const critic = numbers.map((_, t) => Math.sin(t));
        expectClose(
          generalisedAdvantages(numbers, critic, { gamma, lambda: 0 }),
          tdErrors(numbers, critic, gamma),
        );
        expectClose(
          generalisedAdvantages(numbers, critic, { gamma, lambda: 1 }),
          rewardToGo(numbers, gamma).map((earned, t) => earned - critic[t]!),
        );
      }),
    );
  });

  test("shaped by a potential: the whole answer's return moves by the ends of the potential alone", () => {
    expectClose(shaped([0, 0, 1], [1, 2, 0.5, 0]), [1, -1.5, 0.5]);
    expectClose(shaped([0, 0, 1], [1, 2, 0.5, 0], 0.9), [0.8, -1.55, 0.5]);
    expectClose(
      shaped([0, 0, 1], [0.2, 0.5, 0.8, 0], 0.9),
      tdErrors([0, 0, 1], [0.2, 0.5, 0.8], 0.9),
    );
    expect(() => shaped([0, 1], [1, 2])).toThrow(InvariantError);
  });

  test("an answer's reward spread by attention, evenly, or left at the end, always sums to it", () => {
    expectClose(redistributed(2, [0.1, 0.2, 0.7], 0.5), [0.1, 0.2, 1.7]);
    expectClose(redistributed(2, [0.1, 0.2, 0.7], 0), [0, 0, 2]);
    expectClose(redistributed(2, [0.01, 0.02, 0.07]), [0.2, 0.4, 1.4]); // renormalised
    expectClose(redistributed(3, [1, 1, 1]), [1, 1, 1]);
    expect(() => redistributed(1, [0, 0])).toThrow(InvariantError);
    expect(() => redistributed(1, [2, -1])).toThrow(InvariantError);
  });

  test("with the penalty inside the reward, each token pays its own", () => {
    expectClose(klShaped(1, [0.2, -0.1, 0.3], 0.1), [-0.02, 0.01, 0.97]);
  });

  test.each([
    [16_384, 0],
    [18_432, -0.5],
    [20_480, -1],
    [20_481, -1],
  ])("%d tokens of 20,480, the last 4,096 of them penalised, cost %d", (tokens, penalty) => {
    expect(overlongPenalty(tokens, 20_480, 4_096)).toBe(penalty);
  });
});

describe("answers that another policy drew", () => {
  const now = [0.5, 0.5].map(Math.log);
  const sampled = [0.25, 0.1].map(Math.log); // ratios 2 and 5, 10 in all

  test("weigh by the ratio of the whole answer, or of each token, none above the bound", () => {
    const weigh = (options: Parameters<typeof importanceWeights>[2]) =>
      importanceWeights(now, sampled, options);
    expectClose(weigh({ ratioMax: 20 }), [10, 10]);
    expect(weigh({})).toEqual([0, 0]);
    expect(weigh({ beyond: "truncate" })).toEqual([3, 3]);
    expectClose(weigh({ level: "token", beyond: "truncate" }), [2, 3]);
    expectClose(weigh({ level: "token" }), [2, 0]);
    expectClose(importanceWeights(sampled, now), [0.1, 0.1]);
  });

  test("stay finite however far apart the policies are, and are 1 where they agree", () => {
    expect(importanceWeights([0], [-1e4], { beyond: "truncate" })).toEqual([3]);
    expect(importanceWeights([-1e4], [0])).toEqual([0]);
    expect(importanceWeights(now, now)).toEqual([1, 1]);
    expect(() => importanceWeights([0], [])).toThrow(InvariantError);
  });

  test("reweigh an expectation exactly where the bound does not act", () => {
    const [target, reference, worth] = [
      [0.5, 0.3, 0.2],
      [0.2, 0.3, 0.5],
      [1, 2, 0],
    ];
    const ratios = target.map(
      (p, i) => importanceWeights([Math.log(p)], [Math.log(reference[i]!)])[0]!,
    );
    expect(sum(ratios.map((ratio, i) => ratio * reference[i]! * worth[i]!))).toBeCloseTo(1.1, 12);
  });

  test("are too old after more updates than the bound", () => {
    expect([isFresh(6, 10), isFresh(5, 10), isFresh(10, 10, 0), isFresh(9, 10, 0)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });
});

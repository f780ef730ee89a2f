/** Losses over pairs of scores: the sources' numbers. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import { rankedPairs } from "../../../../src/train/families/rewards.ts";
import type { RewardLoss } from "../../../../src/train/losses/define.ts";
import { aihf } from "../../../../src/train/losses/reward/aihf.ts";
import { bradleyTerry } from "../../../../src/train/losses/reward/bradley-terry.ts";
import {
  pairClassification,
  preferenceModel,
} from "../../../../src/train/losses/reward/pair-classification.ts";
import { column, runLoss } from "../../../support/loss-terms.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

interface Pairs {
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
  readonly margins?: readonly number[];
  readonly weights?: readonly number[];
  readonly demonstrated?: readonly number[];
}

function run(loss: RewardLoss, pairs: Pairs, options: Record<string, unknown> = {}) {
  const { chosen, rejected } = pairs;
  const zeros = chosen.map(() => 0);
  const { margins = zeros, weights = chosen.map(() => 1), demonstrated = zeros } = pairs;
  const terms = { chosen, rejected, margins, weights, demonstrated };
  const columns = Object.fromEntries(
    Object.entries(terms).map(([name, numbers]) => [name, column(numbers)]),
  );
  return runLoss(runtime, loss, columns, ["chosen", "rejected"], options);
}
const plain = { centering: 0 };

describe("bradley-terry", () => {
  test.each([
    [0, Math.LN2],
    [1, 0.31326168751822286],
    [2, 0.1269280110429726],
    [-1, 1.3132616875182228],
    [-50, 50],
    [800, 0],
  ])("for a gap of %d is %d, whatever both rewards have in common", async (gap, expected) => {
    for (const common of [0, 100])
      expect(
        (await run(bradleyTerry, { chosen: [common + gap], rejected: [common] }, plain)).loss,
      ).toBeCloseTo(expected, 12);
  });

  test("pulls at both scores equally, by σ(−gap)", async () => {
    const { slopes } = await run(bradleyTerry, { chosen: [1], rejected: [0] }, plain);
    expect(slopes["chosen"]![0]).toBeCloseTo(-0.2689414213699951, 12);
    expect(slopes["rejected"]![0]).toBeCloseTo(0.2689414213699951, 12);
  });

  test("rises by the centering term when both scores rise together", async () => {
    const { loss } = await run(bradleyTerry, { chosen: [2], rejected: [1] });
    expect(loss).toBeCloseTo(0.4032616875182229, 12);
    const centred = await run(bradleyTerry, { chosen: [0.5], rejected: [-0.5] });
    expect(centred.loss).toBeCloseTo(0.31326168751822286, 12);
  });

  test("asks for as much more as the margin says", async () => {
    const pairs = { chosen: [3], rejected: [0], margins: [2] };
    expect((await run(bradleyTerry, pairs, plain)).loss).toBeCloseTo(0.31326168751822286, 12);
  });

  test.each([
    [0.5, 0.6487856443],
    [1, 0.4046096752],
  ])("weighed by a reference of 0.2 and 0.8, at β = %d gives the pair %d", async (beta, chance) => {
    const margins = [-beta * Math.log(0.2 / 0.8)];
    const pairs = { chosen: [1], rejected: [0], margins };
    const { loss } = await run(bradleyTerry, pairs, { ...plain, temperature: beta });
    expect(Math.exp(-loss)).toBeCloseTo(chance, 9);
  });

  test("over prefixes is the mean of their losses", async () => {
    const pairs = { chosen: [0.2, 0.4, 1], rejected: [0, 0, 0], weights: [1 / 3, 1 / 3, 1 / 3] };
    expect((await run(bradleyTerry, pairs, plain)).loss).toBeCloseTo(0.47480527, 9);
  });

  test("over all pairs of a list is less for ordered rewards than for equal ones", async () => {
    const ranks = [2, 0, 1, 3]; // y₂ ≻ y₃ ≻ y₁ ≻ y₄
    const pairs = rankedPairs(ranks);
    const ofList = (rewards: number[]) =>
      run(
        bradleyTerry,
        {
          chosen: pairs.map(({ chosen }) => rewards[chosen]!),
          rejected: pairs.map(({ rejected }) => rewards[rejected]!),
          weights: pairs.map(({ weight }) => weight!),
        },
        plain,
      );
    expect(pairs).toHaveLength(6);
    const { loss, slopes } = await ofList([1, 3, 2, 0]);
    expect(loss).toBeCloseTo(0.20703807270239263, 12);
    expect((await ofList([1, 1, 1, 1])).loss).toBeCloseTo(Math.LN2, 12);
    const perAnswer = [0, 0, 0, 0];
    pairs.forEach(({ chosen, rejected }, i) => {
      perAnswer[chosen]! += slopes["chosen"]![i]!;
      perAnswer[rejected]! += slopes["rejected"]![i]!;
    });
    const expected = [0.019867153670352945, -0.07259503609494657, -0.01986715367035295];
    for (const [i, slope] of [...expected, 0.07259503609494658].entries())
      expect(perAnswer[i]).toBeCloseTo(slope, 12);
  });
});

describe("classification", () => {
  test.each([
    [2, 1, 1.440189699],
    [1, -0.5, 0.787338672],
  ])("of scores %d and %d is %d", async (chosen, rejected, expected) => {
    const { loss } = await run(pairClassification, { chosen: [chosen], rejected: [rejected] });
    expect(loss).toBeCloseTo(expected, 9);
  });

  test("is never below Bradley-Terry of the same scores", async () => {
    const score = fc.double({ min: -20, max: 20, noNaN: true });
    await fc.assert(
      fc.asyncProperty(score, score, async (chosen, rejected) => {
        const pair = { chosen: [chosen], rejected: [rejected] };
        const [classified, compared] = [
          await run(pairClassification, pair),
          await run(bradleyTerry, pair, plain),
        ];
        expect(classified.loss).toBeGreaterThanOrEqual(compared.loss - 1e-12);
      }),
      { numRuns: 10 },
    );
  });
});

describe("a preference model", () => {
  test("loses −log P, averaged over both orders", async () => {
    // P(first ≻ second) of 0.8 with the better one first, of 0.3 with the better one second
    const odds = (p: number) => Math.log(p / (1 - p));
    const { loss, metrics } = await run(preferenceModel, {
      chosen: [odds(0.8)],
      rejected: [odds(0.3)],
    });
    expect(loss).toBeCloseTo(-(Math.log(0.8) + Math.log(0.7)) / 2, 12);
    expect(metrics["accuracy"]).toBe(1);
  });
});

describe("aihf", () => {
  const pairs = { chosen: [1, 0, 2], rejected: [0, 0, 0], demonstrated: [1, 0, 0] };
  const [ofOne, ofZero, ofTwo] = [0.31326168751822286, Math.LN2, 0.1269280110429726];

  test("adds the demonstrations' mean and the preferences' mean by their weights", async () => {
    const options = { demonstration_weight: 0.5, preference_weight: 2 };
    const { loss, metrics } = await run(aihf, pairs, options);
    expect(metrics["imitation"]).toBeCloseTo(ofOne, 12);
    expect(metrics["preference"]).toBeCloseTo((ofZero + ofTwo) / 2, 12);
    expect(loss).toBeCloseTo(0.5 * ofOne + ofZero + ofTwo, 12);
  });

  test("is inverse reinforcement learning without preferences, and Bradley-Terry without demonstrations", async () => {
    expect((await run(aihf, pairs, { preference_weight: 0 })).loss).toBeCloseTo(ofOne, 12);
    const labelled = { ...pairs, demonstrated: [0, 0, 0] };
    const [mixed, compared] = [await run(aihf, labelled), await run(bradleyTerry, labelled, plain)];
    expect(mixed.loss).toBeCloseTo(compared.loss, 12);
    expect(mixed.metrics["imitation"]).toBe(0);
  });
});

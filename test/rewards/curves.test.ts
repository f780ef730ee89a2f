import { describe, expect, test } from "vitest";
import { fitIsotonic, fitLogistic, piecewiseLinear } from "../../src/rewards/curves.ts";

describe("a piecewise linear curve", () => {
  test.each([
    [-1, 0],
    [0, 0],
    [0.5, 0.25],
    [1, 0.5],
    [2, 0.75],
    [3, 1],
    [9, 1],
    [Number.NaN, Number.NaN],
  ])("through (0, 0), (1, 0.5) and (3, 1) has at %d the value %d", (x, y) => {
    const curve = piecewiseLinear([
      [0, 0],
      [1, 0.5],
      [3, 1],
    ]);
    expect(curve(x)).toBe(y);
  });
});

describe("isotonic regression", () => {
  const outcomes = (values: readonly number[]) =>
    values.map((value, i) => ({ score: i + 1, value }));

  test("pools neighbours that fall into their mean", () => {
    expect(fitIsotonic(outcomes([1, 3, 2, 4, 3, 5]))).toEqual([
      [1, 1],
      [2, 2.5],
      [3, 2.5],
      [4, 3.5],
      [5, 3.5],
      [6, 5],
    ]);
  });

  test("pools back as far as it must", () => {
    expect(fitIsotonic(outcomes([3, 4, 5, 0]))).toEqual([
      [1, 3],
      [4, 3],
    ]);
  });

  test("takes a score that comes twice for one with the mean value, in any order", () => {
    const given = [
      { score: 2, value: 9 },
      { score: 1, value: 5 },
      { score: 2, value: 3 },
    ];
    expect(fitIsotonic(given)).toEqual([
      [1, 5],
      [2, 6],
    ]);
  });
});

describe("a logistic curve", () => {
  const at = (score: number, ones: number, zeros: number) => [
    ...Array.from({ length: ones }, () => ({ score, value: 1 })),
    ...Array.from({ length: zeros }, () => ({ score, value: 0 })),
  ];

  test("of two scores goes through their mean targets", () => {
    // targets 5/6 and 1/6: at 0 the mean is 1/3, at 1 it is 2/3; their logits are ∓ ln 2
    const { slope, intercept } = fitLogistic([...at(0, 1, 3), ...at(1, 3, 1)]);
    expect(slope).toBeCloseTo(2 * Math.LN2, 9);
    expect(intercept).toBeCloseTo(-Math.LN2, 9);
  });

  test("shifts and stretches with its scores", () => {
    const { slope, intercept } = fitLogistic([...at(1000, 1, 3), ...at(1010, 3, 1)]);
    expect(slope).toBeCloseTo(0.2 * Math.LN2, 9);
    expect(intercept).toBeCloseTo(-Math.LN2 - 200 * Math.LN2, 6);
  });

  test("stays finite where the scores tell the values apart", () => {
    const { slope, intercept } = fitLogistic([...at(-1, 0, 5), ...at(1, 5, 0)]);
    // targets 6/7 and 1/7, met exactly: σ(slope) = 6/7
    expect(slope).toBeCloseTo(Math.log(6), 9);
    expect(intercept).toBeCloseTo(0, 9);
  });
});

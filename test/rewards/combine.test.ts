import { describe, expect, test } from "vitest";
import { type Combination, combine } from "../../src/rewards/combine.ts";

const defaults = { beta: 1, lambda: 0.5 };
const equal = (...scores: number[]) => scores.map((score) => ({ score, weight: 1 }));
const ways: readonly Combination[] = [
  "mean",
  "median",
  "min",
  "soft-min",
  "mean-deviation",
  "mean-variance",
  "sum",
];

describe("combining scores", () => {
  test.each<[Combination, number]>([
    ["mean", 0.7],
    ["median", 0.7],
    ["min", 0.4],
    ["sum", 2.1],
    ["mean-variance", 0.67], // variance 0.06 over the three, not 0.09
    ["mean-deviation", 0.7 - 0.5 * Math.sqrt(0.06)],
  ])("of 1, 0.4 and 0.7 by %s gives %d", (way, expected) => {
    expect(combine(way, equal(1, 0.4, 0.7), defaults)).toBeCloseTo(expected, 12);
  });

  test.each([
    [0.5, 1.484752],
    [1, 1.7496],
    [2, 1.988963],
  ])("of 1, 2 and 4 by soft-min with β = %d gives %d", (beta, expected) => {
    expect(combine("soft-min", equal(1, 2, 4), { ...defaults, beta })).toBeCloseTo(expected, 6);
  });

  test("by soft-min is the minimum for a small β and the mean for a large one", () => {
    const scored = equal(1, 2, 4);
    expect(combine("soft-min", scored, { ...defaults, beta: 1e-3 })).toBeCloseTo(1, 2);
    expect(combine("soft-min", scored, { ...defaults, beta: 1e6 })).toBeCloseTo(7 / 3, 5);
  });

  test("by soft-min overflows for no scores", () => {
    const far = combine("soft-min", equal(-1000, 1000), { ...defaults, beta: 1e-3 });
    expect(far).toBeCloseTo(-1000 + 1e-3 * Math.LN2, 9);
  });

  test("by median takes the middle of the middle two", () => {
    expect(combine("median", equal(10, 1, 4, 2), defaults)).toBe(3);
  });

  test.each(ways.filter((way) => way !== "median"))(
    "by %s a weight of 3 counts as three judges that agree",
    (way) => {
      const weighted = [
        { score: 2, weight: 3 },
        { score: -1, weight: 1 },
      ];
      expect(combine(way, weighted, defaults)).toBeCloseTo(
        combine(way, equal(2, 2, 2, -1), defaults),
        12,
      );
    },
  );

  test.each(ways.filter((way) => way !== "sum"))("by %s leaves one score as it is", (way) => {
    expect(combine(way, equal(-1.25), defaults)).toBeCloseTo(-1.25, 12);
    expect(combine(way, equal(-1.25, -1.25), defaults)).toBeCloseTo(-1.25, 12);
  });

  test.each(ways)("by %s is no judgement where nobody judged", (way) => {
    expect(combine(way, [], defaults)).toBeNaN();
  });
});

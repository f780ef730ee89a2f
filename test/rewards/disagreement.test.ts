import { describe, expect, test } from "vitest";
import { disagreementOf, warningsOf } from "../../src/rewards/disagreement.ts";

const candidates = (a: readonly number[], b: readonly number[]) =>
  a.map((score, i) => ({ a: score, b: b[i]! }));

describe("disagreement of parts", () => {
  test("is none where they say the same in other units", () => {
    const alike = disagreementOf(candidates([1, 2, 3], [10, 20, 30]), 2)!;
    expect(alike.deviation).toBeCloseTo(0, 12);
    expect(alike).toMatchObject({ correlation: 1, dissenting: [] });
    expect(warningsOf(alike)).toEqual([]);
  });

  test("is two thirds of √1.5 where three candidates are ordered the other way round", () => {
    const opposite = disagreementOf(candidates([1, 2, 3], [30, 20, 10]), 2)!;
    expect(opposite.deviation).toBeCloseTo((2 / 3) * Math.sqrt(1.5), 12);
    expect(opposite.correlation).toBeCloseTo(-1, 12);
    expect(opposite.dissenting).toEqual(["b"]);
    expect(warningsOf(opposite)).toEqual([expect.stringMatching(/-1\.00\); b would have chosen/)]);
  });

  test("counts a part that calls the chosen one as good as any as agreeing", () => {
    const level = disagreementOf(candidates([1, 2, 3], [5, 5, 5]), 2)!;
    expect(level).toMatchObject({ correlation: null, dissenting: [] });
    expect(warningsOf(level)).toEqual([]);
  });

  test("leaves out candidates that a part did not judge", () => {
    const scores = candidates([1, 2, 3], [1, Number.NaN, 2]);
    expect(disagreementOf(scores, 2)).toMatchObject({ correlation: 1, dissenting: [] });
    expect(disagreementOf(scores, 1)).toBeNull();
  });

  test("is of the parts themselves, not of what they are made of", () => {
    const nested = [
      { a: 1, "a/raw": 9, b: 1 },
      { a: 2, "a/raw": 1, b: 2 },
    ];
    expect(disagreementOf(nested, 1)).toMatchObject({ correlation: 1, dissenting: [] });
  });

  test("takes two parts and two candidates", () => {
    expect(disagreementOf([{ a: 1 }, { a: 2 }], 1)).toBeNull();
    expect(disagreementOf([{ a: 1, b: 2 }], 0)).toBeNull();
    expect(disagreementOf([], 0)).toBeNull();
  });
});

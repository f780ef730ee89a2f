import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Cutoff, countCutoff, massCutoff } from "../../src/engine/selection.ts";

/** Few distinct values, so that ties are common; multiples of 1/64, so that sums are exact. */
const values = fc
  .array(fc.integer({ min: 0, max: 64 }), { minLength: 1, maxLength: 200 })
  .map((list) => Float64Array.from(list, (value) => value / 64));

const descending = (list: Float64Array) => [...list].sort((a, b) => b - a);
const kept = (list: Float64Array, { value, ties }: Cutoff) => {
  const above = [...list].filter((other) => other > value);
  return [...above, ...[...list].filter((other) => other === value).slice(0, ties)];
};

describe("countCutoff", () => {
  test("keeps exactly the k largest", () => {
    const property = fc.property(values, fc.integer({ min: 1, max: 220 }), (list, k) => {
      const cutoff = countCutoff(list, list.length, k, new Float64Array(k));
      expect(descending(Float64Array.from(kept(list, cutoff)))).toEqual(
        descending(list).slice(0, k),
      );
    });
    fc.assert(property, { seed: 1, numRuns: 500 });
  });

  test("leaves the values as they are and ignores those after count", () => {
    const list = Float64Array.of(3, 1, 2, 9);
    expect(countCutoff(list, 3, 2, new Float64Array(2))).toEqual({ value: 2, ties: 1 });
    expect([...list]).toEqual([3, 1, 2, 9]);
  });
});

describe("massCutoff", () => {
  test("keeps the fewest of the largest whose sum reaches the share, and at least one", () => {
    const share = fc.integer({ min: 0, max: 64 }).map((i) => i / 64);
    const withMass = values.filter((list) => list.some((value) => value > 0));
    const property = fc.property(withMass, share, (list, p) => {
      const total = list.reduce((a, b) => a + b, 0);
      const sorted = descending(list);
      let n = 1;
      let sum = sorted[0]!;
      while (sum < p * total) sum += sorted[n++]!;
      const cutoff = massCutoff(list, list.length, total, p, new Float64Array(list.length));
      const chosen = descending(Float64Array.from(kept(list, cutoff)));
      expect(chosen.filter((value) => value > 0)).toEqual(sorted.slice(0, n));
    });
    fc.assert(property, { seed: 1, numRuns: 2000 });
  });

  test("keeps all when rounding leaves their sum below the target", () => {
    const list = Float64Array.of(0.1, 0.2, 0.3);
    const cutoff = massCutoff(list, 3, 0.7, 1, new Float64Array(3));
    expect(kept(list, cutoff)).toHaveLength(3);
  });
});

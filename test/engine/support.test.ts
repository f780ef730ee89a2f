import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Support } from "../../src/engine/support.ts";

const weightOf = (support: Support, logit: number, temperature: number) => {
  support.load(Float32Array.of(0, logit));
  support.weigh(0, temperature);
  return support.values[1]!;
};

describe("Support.weigh", () => {
  test("is exp((logit − max) / temperature) to float64's precision", () => {
    const support = new Support();
    const logit = fc.double({ min: -200, max: 0, noNaN: true }).map(Math.fround);
    const temperature = fc.double({ min: 0.3, max: 3, noNaN: true });
    const property = fc.property(logit, temperature, (x, t) => {
      const exact = Math.exp(x / t);
      const tolerance = 2e-15 * (1 - x / t) * exact;
      expect(Math.abs(weightOf(support, x, t) - exact)).toBeLessThanOrEqual(tolerance);
    });
    fc.assert(property, { seed: 1, numRuns: 3000 });
  });

  test("is 1 for the largest and 0 for the impossible, however small the temperature", () => {
    const support = new Support();
    for (const temperature of [Number.MIN_VALUE, 1e-9, 1, 1e9]) {
      expect(weightOf(support, -Infinity, temperature)).toBe(0);
      expect(support.values[0]).toBe(1);
    }
    expect(weightOf(support, -1, Number.MIN_VALUE)).toBe(0);
  });
});

describe("Support.draw", () => {
  test("never returns a token of weight 0, at either end of the uniform's range", () => {
    const support = new Support();
    support.load(Float32Array.of(0, 0.5, 0, 0.5, 0));
    expect(support.draw(0)).toBe(1);
    expect(support.draw(0.5)).toBe(3);
    expect(support.draw(1 - 2 ** -53)).toBe(3);
  });

  test("starts over after a smaller vocabulary and a filter", () => {
    const support = new Support();
    support.load(Float32Array.of(1, 3, 2));
    support.keep({ value: 2, ties: 1 });
    support.load(Float32Array.of(0, 1));
    expect([...support.ids.subarray(0, support.count)]).toEqual([0, 1]);
    expect(support.draw(0)).toBe(1);
  });
});

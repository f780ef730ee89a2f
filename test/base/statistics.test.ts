import { describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import { createRandom } from "../../src/base/random.ts";
import {
  bootstrapInterval,
  chiSquareSurvival,
  correlationTail,
  logGamma,
  meanInterval,
  rankCorrelation,
  wilsonInterval,
} from "../../src/base/statistics.ts";

describe("logGamma", () => {
  // mpmath.loggamma at 30 digits
  test.each([
    [1e-3, 6.907178885383853],
    [0.5, 0.5723649429247001],
    [1, 0],
    [1.5, -0.12078223763524522],
    [2, 0],
    [3.7, 1.428072326665388],
    [10, 12.801827480081469],
    [14.999, 25.18854687054693],
    [15, 25.19122118273868],
    [100.5, 361.4355404677776],
    [1e6, 12815504.569147611],
  ])("of %d is %d to 13 digits", (x, expected) => {
    expect(Math.abs(logGamma(x) - expected)).toBeLessThan(1e-13 * Math.max(1, expected));
  });

  test("refuses 0", () => {
    expect(() => logGamma(0)).toThrow(InvariantError);
  });
});

describe("chiSquareSurvival", () => {
  // mpmath.gammainc(df/2, x/2, inf, regularized=True) at 30 digits
  test.each([
    [0.5, 1, 0.4795001221869535],
    [1, 3, 0.8012519569012008],
    [0.001, 0.5, 0.8350402492315872],
    [50, 10, 2.6690834249044957e-7],
    [30, 50, 0.9888352197284497],
    [100, 1, 1.523970604832105e-23],
    [1500, 700, 2.5037863511603275e-60],
    [2000, 2000, 0.4957947558197845],
    [2100, 2000, 0.05867111137731808],
  ])("of %d at %d degrees of freedom is %d to 12 digits", (x, df, expected) => {
    const error = Math.abs(chiSquareSurvival(x, df) / expected - 1);
    expect(error).toBeLessThan(Math.max(1e-12, df * 1e-15));
  });

  // The printed table of critical values.
  test.each([
    [3.841, 1, 0.05],
    [6.635, 1, 0.01],
    [18.307, 10, 0.05],
    [37.566, 20, 0.01],
    [124.342, 100, 0.05],
  ])("has the critical value %d of %d degrees of freedom at %d", (x, df, tail) => {
    expect(chiSquareSurvival(x, df)).toBeCloseTo(tail, 4);
  });

  test("is exp(−x/2) at two degrees of freedom", () => {
    for (const x of [0, 0.3, 2, 3.9, 4.1, 60]) {
      expect(chiSquareSurvival(x, 2)).toBeCloseTo(Math.exp(-x / 2), 13);
    }
  });

  test("ends at 0", () => {
    expect(chiSquareSurvival(Infinity, 4)).toBe(0);
  });
});

describe("wilsonInterval", () => {
  // Both ends solve (p̂ − p)² = z²·p(1 − p)/n, the equation the formula inverts.
  test.each([
    [10, 20],
    [1, 10],
    [81, 263],
  ])("of %d in %d ends where the score test's statistic is z", (successes, n) => {
    const { estimate, low, high } = wilsonInterval(successes, n);
    for (const p of [low, high]) {
      expect(Math.abs(estimate - p) / Math.sqrt((p * (1 - p)) / n)).toBeCloseTo(1.959964, 10);
    }
  });

  // Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
  test.each([
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ])("of %d in %d is %d … %d", (successes, n, low, high) => {
    const interval = wilsonInterval(successes, n);
    expect(interval.low).toBeCloseTo(low, 4);
    expect(interval.high).toBeCloseTo(high, 4);
  });

  test("refuses a proportion of nothing", () => {
    expect(() => wilsonInterval(0, 0)).toThrow(InvariantError);
  });
});

describe("meanInterval", () => {
  // Student's quantiles (printed to four digits in any table), by mpmath to 13.
  test.each([
    [0.95, 1, 12.706204736174694],
    [0.95, 4, 2.7764451051977934],
    [0.95, 29, 2.045229642132704],
    [0.99, 10, 3.169272672616951],
    [0.9, 1000, 1.6463788172854648],
  ])("at confidence %d and %d degrees of freedom reaches %d standard errors", (level, df, t) => {
    const values = Array.from({ length: df + 1 }, (_, i) => i);
    const n = df + 1;
    const mean = df / 2;
    const standardError = Math.sqrt((n ** 2 - 1) / 12 / (n - 1)); // variance of 0 … n−1
    const { estimate, low, high } = meanInterval(values, level);
    expect(estimate).toBeCloseTo(mean, 10);
    expect((high - mean) / standardError / t).toBeCloseTo(1, 12);
    expect((mean - low) / standardError / t).toBeCloseTo(1, 12);
  });

  test("covers the true mean of normal values as often as it says", () => {
    const random = createRandom(11);
    const trials = 2000;
    let covered = 0;
    for (let i = 0; i < trials; i++) {
      const { low, high } = meanInterval(Array.from({ length: 5 }, () => random.normal()));
      if (low <= 0 && high >= 0) covered++;
    }
    expect(Math.abs(covered / trials - 0.95)).toBeLessThan(0.015); // three standard errors
  });

  test("refuses a single value", () => {
    expect(() => meanInterval([1])).toThrow(InvariantError);
  });
});

describe("bootstrapInterval", () => {
  const values = Array.from({ length: 100 }, (_, i) => Math.sqrt(i));

  test("of a mean agrees with Student's within a twentieth of its width", () => {
    const student = meanInterval(values);
    const { estimate, low, high } = bootstrapInterval(values, { seed: 5 });
    const tolerance = (student.high - student.low) / 20;
    expect(estimate).toBe(student.estimate);
    expect(Math.abs(low - student.low)).toBeLessThan(tolerance);
    expect(Math.abs(high - student.high)).toBeLessThan(tolerance);
  });

  test("repeats with the same seed and differs with another", () => {
    const at = (seed: number) => bootstrapInterval(values, { seed, resamples: 200 });
    expect(at(1)).toEqual(at(1));
    expect(at(1).low).not.toBe(at(2).low);
  });

  test("takes any statistic and any confidence", () => {
    const largest = (sample: readonly number[]) => Math.max(...sample);
    const wide = bootstrapInterval(values, { seed: 1, statistic: largest });
    const narrow = bootstrapInterval(values, { seed: 1, statistic: largest, confidence: 0.5 });
    expect(wide.estimate).toBe(Math.sqrt(99));
    expect(wide.high).toBe(Math.sqrt(99)); // no resample exceeds the sample
    expect(narrow.low).toBeGreaterThan(wide.low);
  });
});

describe("correlationTail", () => {
  test.each([
    [0.5, 3, 2 / 3], // 1 − 2·asin(ρ)/π
    [-0.5, 4, 0.5], // 1 − |ρ|
    // critical values of Fisher & Yates 1963, Statistical Tables, table VII
    [0.6319, 10, 0.05],
    [-0.7646, 10, 0.01],
    [0.4438, 20, 0.05],
  ])("of %d over %d pairs is %d", (correlation, n, tail) => {
    expect(correlationTail(correlation, n)).toBeCloseTo(tail, 4);
  });

  test("is as often as chance gives as much", () => {
    const random = createRandom(3);
    const ranks = Array.from({ length: 12 }, (_, i) => i);
    const tails = Array.from({ length: 4000 }, () => {
      const noise = ranks.map(() => random.uniform());
      return correlationTail(rankCorrelation(ranks, noise), 12);
    });
    const share = tails.filter((tail) => tail < 0.05).length / tails.length;
    expect(Math.abs(share - 0.05)).toBeLessThan(0.012);
  });

  test("is 0 of a perfect one, and undefined for two pairs", () => {
    expect(correlationTail(1, 10)).toBe(0);
    expect(() => correlationTail(1, 2)).toThrow(InvariantError);
  });
});

describe("rankCorrelation", () => {
  test("is −29/165 of intelligence and hours of television, the textbook's example", () => {
    const quotients = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110];
    const hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17];
    expect(rankCorrelation(quotients, hours)).toBeCloseTo(-29 / 165, 12);
  });

  test("gives equal values the mean of their ranks", () => {
    expect(rankCorrelation([1, 2, 2, 4], [1, 3, 2, 4])).toBeCloseTo(4.5 / Math.sqrt(22.5), 12);
  });

  test("sees order alone", () => {
    expect(rankCorrelation([1, 2, 3], [-1e9, 0, 1e-9])).toBeCloseTo(1, 12);
    expect(rankCorrelation([1, 2, 3], [3, 2, -7])).toBeCloseTo(-1, 12);
  });

  test("is not defined where nothing differs", () => {
    expect(rankCorrelation([1, 1, 1], [1, 2, 3])).toBeNaN();
  });

  test("refuses values without a partner", () => {
    expect(() => rankCorrelation([1], [1, 2])).toThrow(InvariantError);
  });
});

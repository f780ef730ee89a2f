/** The table's numbers, by hand. */
import { describe, expect, test } from "vitest";
import { figuresOf, type Measured, recoveredShare } from "../../../src/jobs/trainers/figures.ts";
import { klOf } from "../../../src/jobs/trainers/judge.ts";

const measured = (gold: number, rest: Partial<Measured> = {}): Measured => ({
  domain: "support",
  gold,
  isRight: gold >= 2,
  reward: gold / 2,
  tokens: 10,
  k1: 0,
  k3: 0,
  pair: null,
  ...rest,
});

describe("the figures of a policy", () => {
  const base = [0, 1, 2, 1].map((gold, i) =>
    measured(gold, { pair: i === 3 ? null : { chosen: -10 - i, rejected: -20 } }),
  );
  const best = [3, 3, 3, 3].map((gold) => measured(gold, { k1: null, k3: null }));
  const own = [2, 2, 2, 1].map((gold, i) =>
    measured(gold, {
      k1: i - 1,
      tokens: 10 + i,
      reward: i === 0 ? null : gold,
      pair: i === 3 ? null : { chosen: -8 - i, rejected: -26 },
    }),
  );
  const figures = figuresOf({ own, base, best });

  test("are means over prompts, and changes those of each prompt against the base", () => {
    expect(figures.gold.value.estimate).toBe(7 / 4);
    expect(figures.gold.change.estimate).toBe(3 / 4);
    expect(figures.right.value.estimate).toBe(3 / 4);
    expect(figures.right.change.estimate).toBe(2 / 4);
    expect(figures.kl?.estimate).toBe((-1 + 0 + 1 + 2) / 4);
    expect(figures.tokens.estimate).toBe(11.5);
    expect(figures.reward?.estimate).toBeCloseTo((2 + 2 + 1) / 3, 15); // of those that were judged
  });

  test("take likelihoods where a prompt has a pair, and their change has the spread of changes alone", () => {
    expect(figures.chosen?.value.estimate).toBe(-9);
    expect(figures.chosen?.change).toEqual({ estimate: 2, low: 2, high: 2 });
    expect(figures.rejected?.change).toEqual({ estimate: -6, low: -6, high: -6 });
    expect(figuresOf({ own: best, base, best }).chosen).toBeNull();
    expect(figuresOf({ own: best, base, best }).kl).toBeNull();
  });

  test("say what share of best-of-n's gain is had: all of it, none, or by the sums of the gains", () => {
    expect(figures.recovered?.estimate).toBeCloseTo(3 / 8, 15); // (2 + 1 + 0 + 0)/(3 + 2 + 1 + 2)
    expect(recoveredShare({ own: best, base, best })).toEqual({ estimate: 1, low: 1, high: 1 });
    expect(recoveredShare({ own: base, base, best })).toEqual({ estimate: 0, low: 0, high: 0 });
  });

  test("say no share where best-of-n gains nothing that could be told from chance", () => {
    const mixed = [1, 0, 3, 0].map((gold) => measured(gold));
    expect(recoveredShare({ own, base, best: mixed })).toBeNull();
    expect(recoveredShare({ own, base, best: base })).toBeNull();
  });
});

describe("estimates of the KL divergence", () => {
  test("are sums over tokens", () => {
    const { k1, k3 } = klOf([-1, -2], [-1.5, -1]); // d = 0.5, −1
    expect(k1).toBe(-0.5);
    expect(k3).toBeCloseTo(Math.exp(-0.5) - 0.5 + (Math.E - 2), 14);
    expect(klOf([], [])).toEqual({ k1: 0, k3: 0 });
  });

  test("are unbiased: over all answers of a policy their mean is the divergence of the answers' laws", () => {
    // two binary tokens, the second one's law depending on the first
    const policy = { first: 0.8, second: [0.3, 0.6] };
    const reference = { first: 0.5, second: [0.45, 0.9] };
    const law = (of: typeof policy, first: number, second: number): [number, number] => [
      first ? of.first : 1 - of.first,
      second ? of.second[first]! : 1 - of.second[first]!,
    ];
    let [exact, k1, k3] = [0, 0, 0];
    for (const first of [0, 1]) {
      for (const second of [0, 1]) {
        const [own, other] = [law(policy, first, second), law(reference, first, second)];
        const [p, q] = [own, other].map(([x, y]) => x * y) as [number, number];
        exact += p * Math.log(p / q);
        const estimates = klOf(own.map(Math.log), other.map(Math.log));
        k1 += p * estimates.k1;
        k3 += p * estimates.k3;
      }
    }
    expect(exact).toBeGreaterThan(0.2);
    expect(k1).toBeCloseTo(exact, 12);
    expect(k3).toBeCloseTo(exact, 12);
  });
});

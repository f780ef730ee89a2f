/** Exact numbers: the law of best-of-n on a handful of atoms is written down, not sampled. */
import { describe, expect, test } from "vitest";
import { bestOfNBound, bestOfNEstimate } from "../../src/strategies/kl.ts";

const uniform = (atoms: number) => Array.from({ length: atoms }, () => 1 / atoms);

/** P(best of n is atom i) = F(i)ⁿ − F(i−1)ⁿ, atoms in order of ascending reward. */
function bestOfNLaw(atoms: readonly number[], n: number): number[] {
  let below = 0;
  return atoms.map((p) => {
    const before = below;
    below += p;
    return below ** n - before ** n;
  });
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

// peers' notes, 3.7: computed apart from this code, to six digits
const table = [
  { name: "uniform on 2", atoms: uniform(2), n: 2, kl: 0.130812, bound: 0.193147, mean: 0.179099 },
  { name: "uniform on 2", atoms: uniform(2), n: 4, kl: 0.459356, bound: 0.636294, mean: 0.499124 },
  { name: "uniform on 10", atoms: uniform(10), n: 4, kl: 0.628825, bound: 0.636294, mean: 0.63487 },
  {
    name: "uniform on 10",
    atoms: uniform(10),
    n: 16,
    kl: 1.733063,
    bound: 1.835089,
    mean: 1.756142,
  },
  { name: "(.9, .1)", atoms: [0.9, 0.1], n: 16, kl: 1.416096, bound: 1.835089, mean: 1.450249 },
  { name: "(.1, .9)", atoms: [0.1, 0.9], n: 16, kl: 0.105361, bound: 1.835089, mean: 0.105361 },
  {
    name: "(.4, .3, .2, .1)",
    atoms: [0.4, 0.3, 0.2, 0.1],
    n: 4,
    kl: 0.587114,
    bound: 0.636294,
    mean: 0.622055,
  },
  {
    name: "uniform on 1000",
    atoms: uniform(1000),
    n: 64,
    kl: 3.174337,
    bound: 3.174508,
    mean: 3.174498,
  },
];

describe("the KL of best-of-n", () => {
  test.each(table)("on $name with n = $n has the exact value $kl, at most the bound", (row) => {
    const law = bestOfNLaw(row.atoms, row.n);
    const kl = sum(law.map((q, i) => (q === 0 ? 0 : q * Math.log(q / row.atoms[i]!))));
    expect(kl).toBeCloseTo(row.kl, 6);
    expect(bestOfNBound(row.n)).toBeCloseTo(row.bound, 6);
    expect(kl).toBeLessThanOrEqual(bestOfNBound(row.n));
  });

  test.each(table)("on $name with n = $n is estimated by $mean on average", (row) => {
    const law = bestOfNLaw(row.atoms, row.n);
    const mean = sum(law.map((q, i) => q * bestOfNEstimate(row.n, Math.log(row.atoms[i]!))));
    expect(mean).toBeCloseTo(row.mean, 6);
  });

  test("is bounded by 0, .193147, .636294, … for n = 1, 2, 4, …", () => {
    const bounds = [1, 2, 4, 8, 16, 32, 64, 128].map(bestOfNBound);
    const known = [0, 0.193147, 0.636294, 1.204442, 1.835089, 2.496986, 3.174508, 3.859843];
    bounds.forEach((bound, i) => {
      expect(bound).toBeCloseTo(known[i]!, 6);
    });
  });
});

describe("the estimate", () => {
  test("is 0 for one candidate, whatever its probability", () => {
    for (const logprob of [0, -0.1, -5, -80, -800]) {
      expect(bestOfNEstimate(1, logprob)).toBeCloseTo(0, 12);
    }
  });

  test("is 0 when the answer was certain, and stays finite just beside it", () => {
    expect(bestOfNEstimate(16, 0)).toBeCloseTo(0, 12);
    expect(bestOfNEstimate(16, 1e-7)).toBeCloseTo(0, 12); // a float32 sum above 0
    expect(bestOfNEstimate(16, -1e-12)).toBeCloseTo(0, 9);
  });

  test("tends to the bound as the answer becomes improbable, past where ε underflows", () => {
    expect(bestOfNEstimate(16, -40)).toBeCloseTo(bestOfNBound(16), 9);
    expect(bestOfNEstimate(16, -1000)).toBeCloseTo(bestOfNBound(16), 12);
  });

  test("equals the printed formula where doubles can evaluate it", () => {
    for (const [n, e] of [
      [2, 0.3],
      [5, 0.01],
      [64, 0.2],
    ] as const) {
      const none = (1 - e) ** n;
      const printed =
        none * (Math.log(n) + (n - 1) * Math.log(1 - e) - (n - 1) / n) +
        (1 - none) * Math.log((1 - none) / e);
      expect(bestOfNEstimate(n, Math.log(e))).toBeCloseTo(printed, 12);
    }
  });
});

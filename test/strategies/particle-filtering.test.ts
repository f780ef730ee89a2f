import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { particleFiltering, resample, weightsOf } from "../../src/strategies/particle-filtering.ts";
import { cannedProcessReward } from "../support/canned-reward.ts";
import {
  add,
  chiSquare,
  countTexts,
  draws,
  emptyPrefix,
  limit,
  nextPrefixes,
  type Prefix,
  type TextLaw,
  textLaw,
  worth,
} from "./laws.ts";
import { best, finish } from "./support.ts";

const odds = ({ text }: Prefix) => (text === "" ? 1e-7 : worth(text) / (1 - worth(text)));

describe("resampling", () => {
  const weights = [0.05, 0.5, 0.15, 0.3];
  const counts = (how: "systematic" | "multinomial", seed: number) => {
    const drawn = resample(weights, how, createRandom(seed));
    return weights.map((_, i) => drawn.filter((index) => index === i).length);
  };

  test.each(["systematic", "multinomial"] as const)("%s draws by weight on average", (how) => {
    const rounds = 20_000;
    const totals = [0, 0, 0, 0];
    for (let seed = 0; seed < rounds; seed++) {
      for (const [i, count] of counts(how, seed).entries()) totals[i]! += count;
    }
    for (const [i, total] of totals.entries()) {
      expect(total / rounds / 4).toBeCloseTo(weights[i]!, 2);
    }
  });

  test("systematic gives each ⌊nw⌋ or ⌈nw⌉ heirs", () => {
    for (let seed = 0; seed < 200; seed++) {
      for (const [i, count] of counts("systematic", seed).entries()) {
        expect([Math.floor(4 * weights[i]!), Math.ceil(4 * weights[i]!)]).toContain(count);
      }
    }
  });

  test("weighs by the odds of the reward, clipped at 1e-7", () => {
    const values = [0.5, 0.8, 1, null];
    const expected = [1, 4, (1 - 1e-7) / 1e-7, 1e-7 / (1 - 1e-7)];
    const total = expected.reduce((sum, weight) => sum + weight, 0);
    const found = weightsOf(values.map((value) => ({ value })));
    for (const [i, weight] of found.entries()) expect(weight).toBeCloseTo(expected[i]! / total, 12);
  });
});

/** Two particles, two tokens one by one, multinomial, the answer drawn by weight. */
function twoParticlesLaw(): TextLaw {
  const law = new Map<string, number>();
  const select = (pair: readonly [Prefix, Prefix], p: number) => {
    const [left, right] = pair.map(odds) as [number, number];
    add(law, pair[0].text, (p * left) / (left + right));
    add(law, pair[1].text, (p * right) / (left + right));
  };
  const grown = (prefix: Prefix) =>
    prefix.hasEnded ? [[prefix, 1] as const] : [...nextPrefixes(prefix, 2)];
  for (const [one, p] of nextPrefixes(emptyPrefix, 2)) {
    for (const [other, q] of nextPrefixes(emptyPrefix, 2)) {
      if (one.hasEnded && other.hasEnded) {
        select([one, other], p * q);
        continue;
      }
      const share = odds(one) / (odds(one) + odds(other));
      for (const [left, s] of [
        [one, share],
        [other, 1 - share],
      ] as const) {
        for (const [right, t] of [
          [one, share],
          [other, 1 - share],
        ] as const) {
          for (const [a, u] of grown(left)) {
            for (const [b, v] of grown(right)) select([a, b], p * q * s * t * u * v);
          }
        }
      }
    }
  }
  return law;
}

describe("particle filtering's law", () => {
  const answers = (options: Record<string, unknown>) =>
    countTexts(draws, async (seed) => {
      const run = {
        reward: cannedProcessReward(worth),
        options: { step_tokens: 1, ...options },
        sampling: { seed, maxTokens: 2 },
      };
      return finish(particleFiltering, run).then(
        (finished) => best(finished).text,
        () => "", // all particles empty: no step to judge
      );
    });

  test("is that of two particles drawn anew by their odds, by enumeration", async () => {
    const options = { n: 2, resampling: "multinomial", selection: "sample" };
    const observed = await answers(options);
    expect(chiSquare(observed, twoParticlesLaw(), draws)).toBeLessThan(limit);
    expect(chiSquare(observed, textLaw(2), draws)).toBeGreaterThan(2 * limit);
  });

  test("is the policy's own with one particle", async () => {
    expect(chiSquare(await answers({ n: 1 }), textLaw(2), draws)).toBeLessThan(limit);
  });
});

describe("particle filtering", () => {
  const seeds = Array.from({ length: 12 }, (_, seed) => seed);
  const byC = () => cannedProcessReward(worth, "by-c", { separator: "c" });

  test("returns the living particle of the highest reward", async () => {
    for (const seed of seeds) {
      const run = { reward: byC(), options: { n: 6 }, sampling: { seed } };
      const finished = await finish(particleFiltering, run);
      expect(finished.result.stopped).toBe("complete");
      const { cut, reward } = best(finished);
      expect(cut).toBeNull();
      expect(reward).not.toBeNull();
    }
  });

  test("gives particles without heirs up where a step ends", async () => {
    let died = 0;
    for (const seed of seeds) {
      const run = { reward: byC(), options: { n: 6 }, sampling: { seed } };
      const { result } = await finish(particleFiltering, run);
      for (const { cut, text } of result.candidates) {
        if (cut !== "rejected") continue;
        died++;
        expect(text).toMatch(/c$/);
      }
    }
    expect(died).toBeGreaterThan(0);
  });

  test("ends inside its budget with the best so far, and says so", async () => {
    const options = { n: 4, step_tokens: 1 };
    const run = { reward: cannedProcessReward(worth), options, budget: { rewardCalls: 6 } };
    const finished = await finish(particleFiltering, run);
    expect(finished.result.stopped).toBe("reward_calls");
    expect(finished.budget.rewardCalls).toBe(6);
    expect(best(finished).reward).not.toBeNull();
  });
});

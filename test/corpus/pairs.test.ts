import { expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import {
  goldReward,
  heldoutPairs,
  type LabelNoise,
  labelPair,
  makePrompt,
  noNoise,
  type PreferencePair,
  preferencePairs,
  split,
} from "../../src/corpus/index.ts";

function take(pairs: Iterator<PreferencePair>, n: number): PreferencePair[] {
  return Array.from({ length: n }, () => pairs.next().value as PreferencePair); // the streams never end
}

const sideOf = ({ prompt }: PreferencePair) => split(prompt.messages[0]!.content);

test("gold prefers the chosen reply unless the label is flipped, and never ties", () => {
  for (const pair of take(preferencePairs(1), 3_000)) {
    expect(pair.goldChosen).toBe(goldReward(pair.prompt, pair.chosen).total);
    expect(pair.goldRejected).toBe(goldReward(pair.prompt, pair.rejected).total);
    expect(pair.goldChosen === pair.goldRejected).toBe(false);
    expect(pair.flipped).toBe(pair.goldChosen < pair.goldRejected);
  }
});

test("training pairs are of the train side, held-out pairs of the other and without noise", () => {
  expect(new Set(take(preferencePairs(2), 1_000).map(sideOf))).toEqual(new Set(["train"]));
  const heldout = take(heldoutPairs(2), 1_000);
  expect(new Set(heldout.map(sideOf))).toEqual(new Set(["heldout"]));
  expect(heldout.some((pair) => pair.flipped)).toBe(false);
});

test("the same seed gives the same pairs", () => {
  expect(take(preferencePairs(3), 100)).toEqual(take(preferencePairs(3), 100));
});

test("a judge with slips only is wrong at the asked rate", () => {
  const n = 6_000;
  const noise: LabelNoise = { sharpness: Number.POSITIVE_INFINITY, flipRate: 0.2 };
  expectRate(take(preferencePairs(4, noise), n).filter((pair) => pair.flipped).length, n, 0.2);
});

test.each([0, 1, 3])("labels follow Bradley-Terry at sharpness %d, gap by gap", (sharpness) => {
  const flips = new Map<number, { n: number; flipped: number }>();
  for (const pair of take(preferencePairs(5, { sharpness, flipRate: 0 }), 12_000)) {
    const gap = Math.abs(pair.goldChosen - pair.goldRejected);
    const bin = flips.get(gap) ?? { n: 0, flipped: 0 };
    flips.set(gap, { n: bin.n + 1, flipped: bin.flipped + (pair.flipped ? 1 : 0) });
  }
  const large = [...flips].filter(([, { n }]) => n >= 500);
  expect(large.length).toBeGreaterThan(4);
  for (const [gap, { n, flipped }] of large) {
    expectRate(flipped, n, 1 - 1 / (1 + Math.exp(-sharpness * gap)));
  }
});

test("the standard judge is right in 92 to 97 % of the pairs", () => {
  const n = 5_000;
  const flipped = take(preferencePairs(6), n).filter((pair) => pair.flipped).length;
  expect(flipped / n).toBeGreaterThan(0.03);
  expect(flipped / n).toBeLessThan(0.08);
});

test("many support pairs differ in one part of the reward, in every part; many solutions in a slip", () => {
  const single = new Map<string, number>();
  let slips = 0;
  for (const pair of take(heldoutPairs(7), 4_000)) {
    const chosen = goldReward(pair.prompt, pair.chosen);
    const rejected = goldReward(pair.prompt, pair.rejected);
    const parts = Object.keys(chosen.parts).filter((p) => chosen.parts[p] !== rejected.parts[p]);
    if (pair.prompt.domain === "support" && parts.length === 1) {
      single.set(parts[0]!, (single.get(parts[0]!) ?? 0) + 1);
    }
    if (pair.prompt.domain === "arithmetic" && chosen.total === 2 && !rejected.correct) slips++;
  }
  for (const part of ["remedy", "name", "order", "product", "tone", "length"]) {
    expect(single.get(part) ?? 0, part).toBeGreaterThan(60);
  }
  expect(slips).toBeGreaterThan(1_000);
});

test("replies that gold cannot tell apart make no pair", () => {
  const prompt = makePrompt("support", createRandom(8));
  expect(labelPair(prompt, ["one", "two"], noNoise, createRandom(1))).toBeNull();
});

/** Within four standard deviations of a binomial count. */
function expectRate(count: number, n: number, rate: number): void {
  expect(Math.abs(count - n * rate)).toBeLessThan(4 * Math.sqrt(n * rate * (1 - rate)));
}

/** Figures about strategies, of a policy whose law is written down. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { createGateway } from "../../src/gateway/gateway.ts";
import { bestOfNCurve } from "../../src/jobs/best-of-n-curve.ts";
import { evaluateStrategies, type Trial } from "../../src/jobs/evaluate-strategies.ts";
import { svgOf } from "../../src/jobs/plots.ts";
import { plotsOf, tablesOf } from "../../src/jobs/strategies-report.ts";
import { createRegistry } from "../../src/registry/registry.ts";
import { strategies } from "../../src/strategies/index.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { tabularPolicy } from "../support/tabular-policy.ts";

const policy = tabularPolicy({ contextTokens: 4_000 });
const reward = cannedReward((text) => -text.length, "short");
const registry = createRegistry({
  policies: [policy],
  rewards: [reward],
  presets: [],
  defaultReward: "short",
  created: 1,
  clock: systemClock,
});
const gateway = createGateway({
  registry,
  adapters: {
    available: async () => [],
    load: () => Promise.reject(new Error("no adapters here")),
    unload: () => Promise.reject(new Error("no adapters here")),
  },
  strategies,
  store: null,
  clock: systemClock,
});
const trial = (name: string, strategy: string, options = {}): Trial => ({
  name,
  strategy,
  reward: null,
  options,
  domains: ["arithmetic"],
});
const evaluate = (...trials: Trial[]) =>
  evaluateStrategies({
    gateway,
    model: policy.id,
    trials,
    promptsPerDomain: 8,
    seed: 3,
    onProgress: () => undefined,
  });
const curve = (n: number) =>
  bestOfNCurve({
    policy,
    reward,
    domain: "arithmetic",
    prompts: 4,
    n,
    seed: 3,
    onProgress: () => undefined,
  });

describe("the evaluation of strategies", () => {
  test("asks every strategy the same with the same seeds: best of one is the sample", async () => {
    const [sample, one] = await evaluate(
      trial("sample", "sample"),
      trial("one", "best-of-n", { n: 1 }),
    );
    expect(one!.tokens).toEqual(sample!.tokens);
    expect(one!.gold).toEqual(sample!.gold);
    expect(sample!.rewardCalls.estimate).toBe(0);
    expect(one!.rewardCalls.estimate).toBe(1);
    expect(one!.klBound).toBe(0);
    expect(sample!.klBound).toBe(0);
  });

  test("counts what all candidates cost, and what ended the searches", async () => {
    const [one, eight] = await evaluate(
      trial("one", "best-of-n", { n: 1 }),
      trial("eight", "best-of-n", { n: 8 }),
    );
    expect(eight!.rewardCalls.estimate).toBe(8);
    expect(eight!.tokens.estimate).toBeGreaterThan(4 * one!.tokens.estimate);
    expect(eight!.klBound).toBeCloseTo(Math.log(8) - 7 / 8, 12);
    expect(eight!.stopped).toEqual({ complete: 8 });
  });

  test("tells each answer", async () => {
    let answers = 0;
    await evaluateStrategies({
      gateway,
      model: policy.id,
      trials: [{ ...trial("both", "sample"), domains: ["support", "arithmetic"] }],
      promptsPerDomain: 2,
      seed: 1,
      onProgress: () => answers++,
    });
    expect(answers).toBe(4);
  });
});

describe("the curve of best-of-N", () => {
  test("raises what chooses, and costs in proportion to N", async () => {
    const points = await curve(16);
    expect(points.map(({ n }) => n)).toEqual([1, 2, 4, 8, 16]);
    for (const [i, { proxy, oracle, gold, tokens, n }] of points.entries()) {
      expect(tokens).toBeCloseTo(n * points[0]!.tokens, 9);
      expect(gold.estimate).toBeLessThanOrEqual(oracle.estimate);
      if (i > 0) expect(proxy.estimate).toBeGreaterThan(points[i - 1]!.proxy.estimate);
    }
    expect(points[0]!.gold.estimate).toBe(points[0]!.oracle.estimate);
  });
});

test("tables and figures name every trial", async () => {
  const evaluation = {
    model: policy.id,
    reward: reward.id,
    promptsPerDomain: 8,
    rows: await evaluate(trial("a <b> & c", "sample")),
    curves: { support: [], arithmetic: await curve(2) },
  };
  const tables = tablesOf(evaluation);
  expect(tables).toContain("| a <b> & c | ");
  expect(tables.match(/best of N/g)).toHaveLength(1);
  const plots = plotsOf(evaluation);
  expect([...plots.keys()]).toEqual([
    "gold-arithmetic.svg",
    "right-arithmetic.svg",
    "over-optimisation-arithmetic.svg",
  ]);
  const svg = svgOf(plots.get("gold-arithmetic.svg")!);
  expect(svg).toMatch(/^<svg /);
  expect(svg).toContain("a &lt;b&gt; &amp; c");
  expect(svg).toContain("N = 2");
});

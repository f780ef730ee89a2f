/** What every strategy promises, whatever it does in between. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { compileOptions } from "../../src/base/options.ts";
import { createRandom, splitSeed } from "../../src/base/random.ts";
import { Budget } from "../../src/strategies/budget.ts";
import type { ScoredCandidate, Strategy, StrategyEvent } from "../../src/strategies/define.ts";
import { strategies, strategyNamed } from "../../src/strategies/index.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { optionNames } from "../support/option-names.ts";
import { fitted, needs } from "./examples.ts";
import { best, finish as finishRun, type RunOptions, start as startRun } from "./support.ts";

const finish = (strategy: Strategy, run: RunOptions) => finishRun(strategy, fitted(strategy, run));
const start = (strategy: Strategy, run: RunOptions, budget?: Budget) =>
  startRun(strategy, fitted(strategy, run), budget);
const byLength = () => cannedReward((text) => text.length);
const seeds = Array.from({ length: 20 }, (_, seed) => seed);

describe.each(strategies)("$name", (strategy) => {
  test("says done exactly once, last", async () => {
    const { events } = await finish(strategy, { reward: byLength() });
    expect(events.filter(({ type }) => type === "done")).toHaveLength(1);
    expect(events.at(-1)!.type).toBe("done");
  });

  test("gives the same answer for the same seed, and others for other seeds", async () => {
    const answer = async (seed: number) =>
      best(await finish(strategy, { reward: byLength(), sampling: { seed } }));
    const answers = await Promise.all(seeds.map(answer));
    expect(await Promise.all(seeds.map(answer))).toEqual(answers);
    expect(new Set(answers.map(({ text }) => text)).size).toBeGreaterThan(1);
  });

  test("streams each choice's text and tokens, whole and in order", async () => {
    for (const seed of seeds) {
      const run = { reward: byLength(), choices: 3, sampling: { seed } };
      const { events, result } = await finish(strategy, run);
      const deltas = events.filter((event) => event.type === "text-delta");
      expect(result.chosen).toHaveLength(3);
      for (const [choice, index] of result.chosen.entries()) {
        const own = deltas.filter((delta) => delta.choice === choice);
        const candidate = result.candidates[index]!;
        expect(own.map(({ text }) => text).join("")).toBe(candidate.text);
        expect(own.flatMap(({ tokens }) => tokens)).toEqual(candidate.tokens);
        for (const delta of own) expect([undefined, index]).toContain(delta.candidate);
      }
      expect(deltas.every(({ choice }) => choice < 3)).toBe(true);
    }
  });

  test("chooses different candidates, each at the place its index says", async () => {
    const { result } = await finish(strategy, { reward: byLength(), choices: 4 });
    expect(new Set(result.chosen).size).toBe(4);
    expect(result.candidates.map(({ index }) => index)).toEqual([...result.candidates.keys()]);
  });

  test("announces every candidate once, as it stands in the result", async () => {
    const { events, result } = await finish(strategy, { reward: byLength(), choices: 2 });
    const announced = events.filter((event) => event.type === "candidate-scored");
    const inOrder = announced.toSorted((a, b) => a.index - b.index);
    expect(inOrder.map(({ candidate }) => candidate)).toEqual(result.candidates);
    const isUnasked = ({ cut }: ScoredCandidate) => cut === "decided" || cut === "rejected";
    expect(inOrder.map(({ reward }) => reward)).toEqual(
      result.candidates.map((each) => (isUnasked(each) ? null : each.text.length)),
    );
  });

  test("counts the reward calls it made, on the prompt it was given", async () => {
    const reward = byLength();
    const { budget } = await finish(strategy, { reward });
    expect(budget.rewardCalls).toBe(reward.texts.length);
    expect(reward.prompts).toEqual([{ messages: [{ role: "user", content: "?" }] }]);
    expect(reward.openSessions()).toBe(0);
  });

  test("shows nothing of a stop string, nor of what follows it", async () => {
    for (const seed of seeds) {
      const run = { reward: byLength(), choices: 4, sampling: { seed, stop: ["ab", "c"] } };
      const { events, result } = await finish(strategy, run);
      for (const { text } of result.candidates) expect(text).not.toMatch(/ab|c/);
      for (const event of events) {
        if (event.type === "text-delta") expect(event.text).not.toMatch(/ab|c/);
      }
    }
  });

  test("reports a KL estimate between 0 and the bound, or none", async () => {
    for (const seed of seeds) {
      const { result } = await finish(strategy, { reward: byLength(), sampling: { seed } });
      const { bound, estimate } = result.kl;
      if (estimate === null) continue;
      expect(estimate).toBeGreaterThanOrEqual(0);
      if (bound !== null) expect(estimate).toBeLessThanOrEqual(bound + 1e-12);
    }
  });

  test("ends where its budget of tokens does, with an answer, and says so", async () => {
    const reasons = new Set<string>();
    for (const seed of seeds) {
      const run = { reward: byLength(), budget: { tokens: 3 }, sampling: { seed } };
      const { result, budget } = await finish(strategy, run);
      expect(result.chosen).toHaveLength(1);
      expect(budget.tokens).toBeLessThanOrEqual(3);
      reasons.add(result.stopped);
    }
    expect(reasons).toContain("tokens");
  });

  test("never overspends a budget of tokens or reward calls", async () => {
    const random = createRandom(splitSeed(7, 1));
    const below = (most: number) => 1 + Math.floor(random.uniform() * most);
    for (const seed of seeds) {
      const limits = { tokens: below(40), rewardCalls: below(60), ms: null };
      const budget = new Budget(limits, systemClock);
      const run = { reward: byLength(), sampling: { seed }, choices: seed % 2 === 0 ? 1 : 3 };
      const outcome = await exhaust(start(strategy, run, budget)).catch((cause: unknown) => cause);
      if (outcome !== undefined) expect(outcome).toMatchObject({ code: "budget_spent" });
      expect(budget.tokens).toBeLessThanOrEqual(limits.tokens);
      expect(budget.rewardCalls).toBeLessThanOrEqual(limits.rewardCalls);
    }
  });

  test("does not begin when it is already aborted", async () => {
    const reward = byLength();
    const signal = AbortSignal.abort(new Error("too late"));
    await expect(finish(strategy, { reward, signal })).rejects.toThrow("too late");
    expect(reward.texts).toEqual([]);
    expect(reward.openSessions()).toBe(0);
  });

  test("ends with the signal's reason when it is aborted while decoding", async () => {
    const controller = new AbortController();
    const reward = byLength();
    const stream = start(strategy, { reward, signal: controller.signal });
    await stream.next();
    controller.abort(new Error("client left"));
    await expect(exhaust(stream)).rejects.toThrow("client left");
    expect(reward.openSessions()).toBe(0);
  });

  test("ends with the signal's reason when it is aborted while a reward is pending", async () => {
    const controller = new AbortController();
    const reward = cannedReward((_, signal) => {
      queueMicrotask(() => controller.abort(new Error("client left")));
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    });
    const run = { reward, signal: controller.signal };
    await expect(finish(strategy, run)).rejects.toThrow("client left");
    expect(reward.openSessions()).toBe(0);
  });

  test("frees what it holds when its reader leaves", async () => {
    const reward = byLength();
    for await (const _ of start(strategy, { reward })) break;
    expect(reward.openSessions()).toBe(0);
  });

  test("fails when its reward cannot open the prompt", async () => {
    const broken = { ...byLength(), open: () => refuse("the prompt is too long for it") };
    await expect(finish(strategy, { reward: broken })).rejects.toThrow("too long for it");
  });

  test("has defaults for every option but those it needs, and refuses options it does not have", () => {
    const read = compileOptions(strategy, "alignment");
    const needed = needs[strategy.name]?.options ?? {};
    expect(Object.keys(read(needed))).toEqual(Object.keys(strategy.options.properties));
    expect(() => read({ ...needed, tempurature: 1 })).toThrow(
      /^Invalid 'alignment\.tempurature': .* has no such option \(its options are: /,
    );
  });

  test("is found by a name that fits an identifier in JSON and on a command line", () => {
    expect(strategy.name).toMatch(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
    expect(strategyNamed(strategy.name)).toBe(strategy);
    expect(strategy.description).toMatch(/^[A-Z].{10,}\.$/);
    for (const name of optionNames(strategy.options)) expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/);
  });
});

test("an unknown strategy is refused with the names there are", () => {
  expect(() => strategyNamed("best-of-m")).toThrow(/'best-of-m'.*sample, best-of-n/);
});

function refuse(problem: string): never {
  throw new Error(problem);
}

async function exhaust(stream: AsyncGenerator<StrategyEvent>): Promise<void> {
  for await (const _ of stream);
}

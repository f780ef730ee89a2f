import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/engine/engine.ts";
import { RewardEngine } from "../../src/engine/reward-engine.ts";
import { type Completion, noWork, type Sampling } from "../../src/engine/types.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { Head } from "../../src/onnx/transformer.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { expectSame, few } from "../support/test-provider.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
let engine: Engine;
let reward: RewardEngine;
const { signal } = new AbortController();

const sampling = (overrides: Partial<Sampling> = {}): Sampling => ({
  ...plainSampling,
  maxTokens: 12,
  endTokens: new Set([7]),
  seed: 1,
  ...overrides,
});
const prompt = [3, 14, 15, 9, 26, 5];
const promptOf = (i: number) =>
  Array.from({ length: 2 + (i % 9) }, (_, t) => (7 * i + 3 * t + 8) % 61);
const ids = ({ tokens }: Completion) => tokens.map(({ id }) => id);

const load = (head: Head) => loadModel(runtime, tinySource(), head);

beforeAll(async () => {
  runtime = openRuntime();
  engine = new Engine(await load("logits"), { sequencesMax: 16, queueSequencesMax: 64 });
  reward = new RewardEngine(await load("scores"));
});

afterAll(async () => {
  await engine.dispose();
  await reward.dispose();
  runtime.dispose();
});

describe("sampling", () => {
  test("gives the same tokens and log-probabilities alone or among 31 others", async () => {
    const alone = await engine.sample(prompt, 1, sampling({ seed: 99 }), { signal });
    const crowd = Array.from({ length: few(31, 15) }, (_, i) =>
      engine.sample(promptOf(i), 1, sampling({ seed: i, maxTokens: 3 + (i % 10) }), { signal }),
    );
    const [among] = await Promise.all([
      engine.sample(prompt, 1, sampling({ seed: 99 }), { signal }),
      ...crowd,
    ]);
    expectSame(among, alone);
  });

  test("takes up what comes in just as it comes to rest", async () => {
    const one = () => engine.sample(prompt, 1, sampling({ maxTokens: 1 }), { signal });
    const first = await one();
    for (let after = 0; after < 12; after++) {
      const last = one();
      for (let i = 0; i < after; i++) await Promise.resolve(); // so many turns before the next
      expectSame(await one(), first);
      expectSame(await last.then(one), first);
    }
  });

  test("gives candidate i the same tokens whatever n is", async () => {
    const two = await engine.sample(prompt, 2, sampling(), { signal });
    const many = await engine.sample(prompt, 10, sampling(), { signal });
    expectSame(many.slice(0, 2), two);
    expect(new Set(many.map((completion) => ids(completion).join())).size).toBeGreaterThan(5);
  });

  test("serves more candidates than it has slots", async () => {
    const n = few(40, 20);
    const completions = await engine.sample(prompt, n, sampling(), { signal });
    expect(completions.map(({ index }) => index)).toEqual(Array.from({ length: n }, (_, i) => i));
    expectSame(completions.slice(0, 2), await engine.sample(prompt, 2, sampling(), { signal }));
  });

  test("reports log-probabilities that scoring the completion gives again", async () => {
    const [completion] = await engine.sample(prompt, 1, sampling({ seed: 4 }), { signal });
    const scored = await engine.score(prompt, ids(completion!), { signal });
    completion!.tokens.forEach(({ logprob }, t) => {
      expect(scored[t]).toBeCloseTo(logprob, 4);
    });
  });

  test("draws the first token from the distribution that scoring states (χ², exact)", async () => {
    const draws = few(4000, 1000);
    const counts = new Map<number, number>();
    for (let batch = 0; batch < draws / 50; batch++) {
      const drawn = await engine.sample(prompt, 50, sampling({ maxTokens: 1, seed: batch }), {
        signal,
      });
      for (const completion of drawn) {
        const id = ids(completion)[0]!;
        counts.set(id, (counts.get(id) ?? 0) + 1);
      }
    }
    const { chiSquareSurvival } = await import("../../src/base/statistics.ts");
    let statistic = 0;
    for (let id = 0; id < tinyConfig.vocabSize; id++) {
      const expected = draws * Math.exp((await engine.score(prompt, [id], { signal }))[0]!);
      statistic += ((counts.get(id) ?? 0) - expected) ** 2 / expected;
    }
    expect(chiSquareSurvival(statistic, tinyConfig.vocabSize - 1)).toBeGreaterThan(1e-3);
  });

  test("is greedy at temperature 0: every token is the most likely one", async () => {
    const [completion] = await engine.sample(
      prompt,
      1,
      sampling({ temperature: 0, topLogprobs: 1 }),
      { signal },
    );
    for (const token of completion!.tokens) expect(token.top[0]!.id).toBe(token.id);
  });

  test("ends with an end token, kept, or at maxTokens, or where the context ends", async () => {
    const n = few(40, 16);
    const completions = await engine.sample(prompt, n, sampling({ maxTokens: 200 }), { signal });
    const room = tinyConfig.contextTokens - prompt.length;
    for (const completion of completions) {
      const tokens = ids(completion);
      if (completion.finishReason === "stop") expect(tokens.indexOf(7)).toBe(tokens.length - 1);
      else expect(tokens).toHaveLength(room);
    }
    expect(new Set(completions.map((c) => c.finishReason))).toEqual(new Set(["stop", "length"]));
  });

  test("ends a candidate where its watcher says so, and no other", async () => {
    const completions = await engine.sample(prompt, 3, sampling({ endTokens: new Set() }), {
      signal,
      onToken: (index) => index === 1,
    });
    expect(completions.map((c) => c.tokens.length)).toEqual([12, 1, 12]);
    expect(completions[1]!.finishReason).toBe("stop");
  });
});

describe("bounds and failures", () => {
  test("a request that finds the queue full is refused with Retry-After, the others are served", async () => {
    const first = engine.sample(prompt, 80, sampling({ maxTokens: 2 }), { signal });
    expect(() => engine.sample(prompt, 1, sampling(), { signal })).toThrow(/queue holds 64/);
    expect(await first).toHaveLength(80);
    expect(await engine.sample(prompt, 1, sampling(), { signal })).toHaveLength(1);
  });

  test("a prompt that leaves no room is refused with both numbers", () => {
    const long = Array.from({ length: tinyConfig.contextTokens }, () => 1);
    expect(() => engine.sample(long, 1, sampling(), { signal })).toThrow(/64 tokens.*accepts 63/);
  });

  test("an aborted request frees its slots; the others never notice", async () => {
    const controller = new AbortController();
    let tokens = 0;
    const doomed = engine.sample(prompt, 8, sampling({ endTokens: new Set(), maxTokens: 50 }), {
      signal: controller.signal,
      onToken() {
        tokens += 1;
        if (tokens === 20) controller.abort(new Error("client left"));
        return false;
      },
    });
    const neighbour = engine.sample(promptOf(3), 2, sampling({ seed: 8 }), { signal });
    await expect(doomed).rejects.toThrow("client left");
    expect(tokens).toBeLessThan(40);
    expectSame(
      await neighbour,
      await engine.sample(promptOf(3), 2, sampling({ seed: 8 }), { signal }),
    );
    expect(engine.stats).toMatchObject({ waiting: 0, running: 0, slots: 16 });
  });

  test("a watcher that throws fails its own request alone", async () => {
    const broken = engine.sample(prompt, 2, sampling(), {
      signal,
      onToken() {
        throw new Error("broken watcher");
      },
    });
    const neighbour = engine.sample(prompt, 2, sampling(), { signal });
    await expect(broken).rejects.toThrow("broken watcher");
    expect(await neighbour).toHaveLength(2);
  });

  test("a bias that forbids every token fails its own request alone", async () => {
    const everything = new Map(Array.from({ length: tinyConfig.vocabSize }, (_, id) => [id, -100]));
    const banned = engine.sample(prompt, 1, sampling({ logitBias: everything }), { signal });
    const neighbour = engine.sample(prompt, 1, sampling(), { signal });
    await expect(banned).rejects.toThrow(/logit_bias/);
    expect(await neighbour).toHaveLength(1);
  });
});

describe("rewards", () => {
  test("a completion's reward does not depend on what was scored before it on the same prompt", async () => {
    const session = reward.open(prompt, signal);
    const first = await session.score([1, 2, 3]);
    const long = await session.score([9, 8, 7, 6, 5, 4]);
    expect(await session.score([1, 2, 3])).toBe(first);
    expect(long).not.toBe(first);
    session.close();
  });

  test("prompts that take turns keep their own", async () => {
    const one = reward.open(prompt, signal);
    const other = reward.open([5, 5, 5], signal);
    const [a, b] = [await one.score([1, 2]), await other.score([1, 2])];
    expect(await one.score([1, 2])).toBe(a);
    expect(await other.score([1, 2])).toBe(b);
    expect(a).not.toBe(b);
    one.close();
    other.close();
  });

  test("every token can be scored in one run, as if the completion ended there", async () => {
    const session = reward.open(prompt, signal);
    const completion = [3, 1, 4, 1, 5];
    const scores = await session.scores(completion, [0, 2, 4]);
    for (const [i, t] of [0, 2, 4].entries()) {
      expect(scores[i]).toHaveLength(reward.labels);
      expect(scores[i]![0]).toBeCloseTo(await session.score(completion.slice(0, t + 1)), 5);
    }
    await expect(session.scores(completion, [5])).rejects.toThrow(/not all within 5/);
    session.close();
  });
  test("splitting prompt and completion elsewhere gives the same reward", async () => {
    const whole = reward.open(prompt.slice(0, 1), signal);
    const split = reward.open(prompt, signal);
    expect(await whole.score([...prompt.slice(1), 4, 2])).toBeCloseTo(await split.score([4, 2]), 4);
  });

  test("an answer that does not fit is refused, and so is a cancelled one", async () => {
    const session = reward.open(prompt, signal);
    await expect(session.score(Array.from({ length: 60 }, () => 1))).rejects.toThrow(/66 tokens/);
    await expect(
      reward.open(prompt, AbortSignal.abort(new Error("gone"))).score([1]),
    ).rejects.toThrow("gone");
  });
});

test("a request is told what it cost: tokens found, tokens run, its share of the model's time", async () => {
  const model = await load("logits");
  const engine = new Engine(model, { sequencesMax: 8, queueSequencesMax: 8 });
  const ids = Array.from({ length: 40 }, (_, t) => t);
  const options = { ...plainSampling, maxTokens: 5, endTokens: new Set<number>(), seed: 1 };
  const works = [noWork(), noWork()];
  await Promise.all(
    works.map((work, i) => engine.sample([i, ...ids], 3, options, { signal, work })),
  );
  for (const { promptTokensFound, tokensRun } of works) {
    expect(promptTokensFound).toBe(0);
    expect(tokensRun).toBe(41 + 3 * 4); // a completion's last token is not run
  }
  expect(works[0]!.modelMs + works[1]!.modelMs).toBeCloseTo(model.runMs, 6);
  await engine.dispose();
});

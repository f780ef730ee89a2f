/** Alternatives side by side, by policy and reward model, against one sequence after the other. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesPerToken } from "../../src/engine/cache.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import { RewardEngine } from "../../src/engine/reward-engine.ts";
import { noWork } from "../../src/engine/types.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const { signal } = new AbortController();
const config = { ...tinyConfig, contextTokens: 256 };
const prompt = Array.from({ length: 70 }, (_, t) => (t * t + 5) % 61);

async function openPolicy(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const model = await loadModel(runtime, tinySource(1, config), "logits");
  return new Engine(model, { sequencesMax: 8, queueSequencesMax: 64, ...options });
}

/** Greatest difference between what a branch says of a token and what scoring the whole says. */
async function worstError(
  engine: Engine,
  ids: readonly number[],
  { logits, logSumExp }: { logits: Float32Array; logSumExp: number },
): Promise<number> {
  const errors: number[] = [];
  for (const next of [0, 7, 33, 60]) {
    const [scored] = await engine.score(ids, [next], { signal });
    errors.push(Math.abs(scored! - (logits[next]! - logSumExp)));
  }
  return Math.max(...errors);
}

describe("a policy's sequence", () => {
  test("has after each alternative, and what is accepted, the distribution of the whole", async () => {
    const engine = await openPolicy();
    const { growing, next } = await engine.grow(prompt, 40, { signal });
    expect(await worstError(engine, prompt, next)).toBeLessThan(1e-4);
    for (let t = 0; t < 6; t++) {
      const alternatives = [t, 20 + t, 40 + t].slice(0, 1 + (t % 3));
      const rows = await growing.branch(alternatives);
      for (const [i, row] of rows.entries()) {
        const ids = [...growing.ids, alternatives[i]!];
        expect(await worstError(engine, ids, row)).toBeLessThan(1e-4);
      }
      await growing.accept(alternatives.length - 1);
      expect(growing.ids.at(-1)).toBe(alternatives.at(-1));
    }
    growing.close();
    await engine.dispose();
  });

  test("gives an alternative the same bits whichever others stand beside it", async () => {
    const engine = await openPolicy();
    const { growing } = await engine.grow(prompt, 40, { signal });
    const all = [3, 1, 4, 15, 9, 2, 6];
    const together = await growing.branch(all);
    const reversed = (await growing.branch(all.toReversed())).toReversed();
    expect(reversed).toEqual(together);
    for (const [i, id] of all.entries()) expect(await growing.branch([id])).toEqual([together[i]]);
    growing.close();
    await engine.dispose();
  });

  test("appends a token without alternatives as sampling would have gone on", async () => {
    const engine = await openPolicy();
    const greedy = { ...plainSampling, temperature: 0, maxTokens: 8, endTokens: new Set<number>() };
    const [drawn] = await engine.sample(prompt, 1, greedy, { signal });
    const work = noWork();
    const { growing, next } = await engine.grow(prompt, 40, { signal, work });
    const read = work.tokensRun;
    const found: number[] = [];
    for (let row = next; found.length < 8; row = await growing.append(found.at(-1)!)) {
      found.push(row.logits.indexOf(Math.max(...row.logits)));
      expect(await worstError(engine, growing.ids, row)).toBeLessThan(1e-4);
    }
    expect(found).toEqual(drawn!.tokens.map(({ id }) => id));
    await growing.branch([1, 2]);
    await growing.accept(1);
    expect(await worstError(engine, [...growing.ids, 5], await growing.append(5))).toBeLessThan(
      1e-4,
    );
    expect(growing.ids).toEqual([...prompt, ...found.slice(0, 8), 2, 5]);
    expect(work.tokensRun - read).toBe(8 + 2 + 1);
    growing.close();
    await engine.dispose();
  });

  test("may branch again before it accepts, and accepts of the last alternatives only", async () => {
    const engine = await openPolicy();
    const { growing } = await engine.grow(prompt, 40, { signal });
    await growing.branch([1, 2, 3]);
    await growing.branch([50, 51]);
    expect(() => growing.accept(2)).toThrow("there is no alternative 2 of 2");
    await growing.accept(1);
    expect(growing.ids).toEqual([...prompt, 51]);
    expect(() => growing.accept(0)).toThrow("there is no alternative 0 of 0");
    growing.close();
    growing.close();
    await engine.dispose();
  });
});

test("a reward model scores alternatives as it scores the whole text", async () => {
  const model = await loadModel(runtime, tinySource(2, config), "scores");
  const reward = new RewardEngine(model);
  const session = reward.open(prompt, signal);
  const growing = await session.grow();
  const chosen: number[] = [];
  for (let t = 0; t < 5; t++) {
    const alternatives = [t + 1, t + 30];
    const scores = await growing.branch(alternatives);
    for (const [i, id] of alternatives.entries()) {
      expect(Math.abs(scores[i]![0]! - (await session.score([...chosen, id])))).toBeLessThan(1e-4);
    }
    await growing.accept(t % 2);
    chosen.push(alternatives[t % 2]!);
  }
  growing.close();
  session.close();
  await reward.dispose();
});

test("a reward model scores what follows an alternative, and appends the alternative alone", async () => {
  const model = await loadModel(runtime, tinySource(2, config), "scores");
  const reward = new RewardEngine(model);
  const session = reward.open(prompt, signal);
  const growing = await session.grow();
  const tails = [[9, 8, 7], [], [6], undefined];
  const chosen: number[] = [];
  for (let t = 0; t < 4; t++) {
    const alternatives = [t, t + 10, t + 20, t + 30];
    const scores = await growing.branch(alternatives, tails as readonly number[][]);
    for (const [i, id] of alternatives.entries()) {
      const whole = await session.score([...chosen, id, ...(tails[i] ?? [])]);
      expect(Math.abs(scores[i]![0]! - whole)).toBeLessThan(1e-4);
    }
    await growing.accept(t);
    chosen.push(alternatives[t]!);
  }
  growing.close();
  session.close();
  await reward.dispose();
});

describe("its memory", () => {
  const perToken = bytesPerToken(config);
  const sampling = { ...plainSampling, maxTokens: 60, endTokens: new Set<number>(), seed: 1 };

  test("is set aside, waits for others to end, and makes what is sampled give way", async () => {
    const engine = await openPolicy({ cacheBytesMax: 512 * perToken });
    const alone = await openPolicy();
    const sampled = engine.sample([1, 2], 6, sampling, { signal });
    const first = await engine.grow(prompt, 40, { signal });
    expect(engine.stats.cacheBytes).toBeLessThanOrEqual(512 * perToken);
    const second = engine.grow(prompt, 100, { signal }); // 192 + 64 and 256 + 64 are more than 512
    let isThere = false;
    void second.then(() => {
      isThere = true;
    });
    await first.growing.branch([1, 2]);
    expect(isThere).toBe(false);
    first.growing.close();
    (await second).growing.close();
    expect(await sampled).toEqual(await alone.sample([1, 2], 6, sampling, { signal }));
    expect(engine.stats.preemptions).toBeGreaterThan(0);
    await Promise.all([engine.dispose(), alone.dispose()]);
  });

  test("that could never be there is refused, with the numbers", async () => {
    const engine = await openPolicy({ cacheBytesMax: 192 * perToken });
    await expect(engine.grow(prompt, 100, { signal })).rejects.toMatchObject({
      code: "cache_too_small",
    });
    await engine.dispose();
  });

  test("is given back by who has left", async () => {
    const engine = await openPolicy({ cacheBytesMax: 320 * perToken });
    const controller = new AbortController();
    const { growing } = await engine.grow(prompt, 40, { signal: controller.signal });
    await growing.branch([1, 2]);
    controller.abort(new Error("gone"));
    await expect(growing.branch([3])).rejects.toThrow("gone");
    growing.close();
    const { growing: other } = await engine.grow(prompt, 40, { signal });
    other.close();
    await engine.dispose();
  });

  test("is not waited for by who has left", async () => {
    const engine = await openPolicy({ cacheBytesMax: 320 * perToken });
    const { growing } = await engine.grow(prompt, 40, { signal });
    const controller = new AbortController();
    const waiting = engine.grow(prompt, 40, { signal: controller.signal });
    controller.abort(new Error("gone"));
    growing.close();
    await expect(waiting).rejects.toThrow("gone");
    const { growing: other } = await engine.grow(prompt, 40, { signal });
    other.close();
    await engine.dispose();
  });
});

/** The cache against an array of arrays, and the engine within a budget against one without. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesPerToken, type CacheBlock, KvCache } from "../../src/engine/cache.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { onCpu } from "../support/test-provider.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

describe("the cache", () => {
  const sizes = { layers: 2, kvHeads: 2, headDim: 3 };
  /** Tokens' values, each told apart by what was written. */
  const blockOf = (value: number, length: number): CacheBlock => ({
    length,
    tensors: Array.from({ length: 4 }, (_, tensor) =>
      Float32Array.from({ length: 2 * length * 3 }, (_each, i) => value * 1000 + tensor * 100 + i),
    ),
  });
  test("keeps what slots hold while it grows and shrinks", async () => {
    const steps = fc.array(
      fc.record({
        slots: fc.integer({ min: 1, max: 5 }),
        capacity: fc.integer({ min: 1, max: 40 }),
        length: fc.integer({ min: 1, max: 9 }),
      }),
      { minLength: 1, maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(steps, async (script) => {
        const cache = new KvCache(runtime, sizes);
        /** By slot: what was written, and how much of it is still there. */
        const held = new Map<number, { step: number; length: number; left: number }>();
        for (const [step, { slots, capacity, length }] of script.entries()) {
          await cache.resize(slots, capacity);
          for (const [slot, each] of held) {
            each.left = Math.min(each.left, capacity);
            if (slot >= slots) held.delete(slot);
            else expectBlock(await cache.read(slot, 0, each.left), blockOf(each.step, each.length));
          }
          const [slot, fitting] = [step % slots, Math.min(length, capacity)];
          await cache.write(slot, [blockOf(step, fitting)]);
          held.set(slot, { step, length: fitting, left: fitting });
        }
        cache.dispose();
      }),
    );
  });

  /** The beginning of what was written. */
  function expectBlock(found: CacheBlock, written: CacheBlock): void {
    for (const [t, tensor] of found.tensors.entries()) {
      for (let head = 0; head < 2; head++) {
        const start = head * written.length * 3;
        const expected = written.tensors[t]!.subarray(start, start + found.length * 3);
        expect(tensor.subarray(head * found.length * 3, (head + 1) * found.length * 3)).toEqual(
          expected,
        );
      }
    }
  }
});

describe("a budget", () => {
  const config = { ...tinyConfig, contextTokens: 512 };
  const perToken = bytesPerToken(config);
  const { signal } = new AbortController();
  const sampling = (maxTokens: number, seed: number) => ({
    ...plainSampling,
    maxTokens,
    endTokens: new Set<number>(),
    seed,
  });
  async function open(options: Partial<EngineOptions>): Promise<Engine> {
    const model = await loadModel(runtime, tinySource(1, config), "logits");
    return new Engine(model, { sequencesMax: 16, queueSequencesMax: 64, ...options });
  }

  test.runIf(onCpu)("is never exceeded, everything ends, and not a bit is another", async () => {
    const [free, bound] = [await open({}), await open({ cacheBytesMax: 960 * perToken })];
    const work = [
      { prompt: [1, 2, 3], n: 6, maxTokens: 90 },
      { prompt: [4, 5], n: 2, maxTokens: 150 },
      { prompt: Array.from({ length: 200 }, (_, i) => i % 61), n: 3, maxTokens: 20 },
      { prompt: [9], n: 1, maxTokens: 70 },
      { prompt: Array.from({ length: 260 }, (_, i) => (3 * i) % 61), n: 5, maxTokens: 30 },
    ];
    let largest = 0;
    const run = (engine: Engine) =>
      Promise.all(
        work.map(({ prompt, n, maxTokens }, i) =>
          engine.sample(prompt, n, sampling(maxTokens, i), {
            signal,
            onToken() {
              if (engine === bound) largest = Math.max(largest, engine.stats.cacheBytes);
              return false;
            },
          }),
        ),
      );
    expect(await run(bound)).toEqual(await run(free));
    expect(largest).toBeLessThanOrEqual(960 * perToken);
    expect(largest).toBeGreaterThan(480 * perToken);
    await Promise.all([free.dispose(), bound.dispose()]);
  });

  test.runIf(onCpu)(
    "that sequences outgrow makes some give way, and go on later with the same bits",
    async () => {
      const [free, bound] = [await open({}), await open({ cacheBytesMax: 400 * perToken })];
      const run = (engine: Engine) => engine.sample([1, 2, 3], 6, sampling(90, 1), { signal });
      expect(await run(bound)).toEqual(await run(free));
      expect(bound.stats.preemptions).toBeGreaterThan(0);
      expect(bound.stats.cacheBytes).toBeLessThanOrEqual(400 * perToken);
      await Promise.all([free.dispose(), bound.dispose()]);
    },
  );

  test.runIf(onCpu)("that cannot hold a sequence refuses it, with the numbers", async () => {
    const engine = await open({ cacheBytesMax: 128 * perToken });
    expect(() => engine.sample([1, 2], 1, sampling(127, 1), { signal })).toThrow(
      `129 tokens; the cache of ${128 * perToken} bytes holds 128`,
    );
    const [completion] = await engine.sample([1, 2], 1, sampling(126, 1), { signal });
    expect(completion!.tokens).toHaveLength(126);
    await engine.dispose();
  });
});

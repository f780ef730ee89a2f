/** The cache of prompts' beginnings against a model of it, and the engine with it against one without. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { BLOCK_TOKENS, type CacheBlock } from "../../src/engine/cache.ts";
import { Engine } from "../../src/engine/engine.ts";
import { PrefixCache } from "../../src/engine/prefix-cache.ts";
import { RewardEngine } from "../../src/engine/reward-engine.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { Head } from "../../src/onnx/transformer.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { expectSame, few, onCpu } from "../support/test-provider.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

const BLOCK_BYTES = 8;
const blockOf = (value: number, length = BLOCK_TOKENS): CacheBlock => ({
  length,
  tensors: [Float32Array.of(value, value)],
});
/** `names` stand for whole blocks of one token each. */
const tokensOf = (names: string, more = 1) => [
  ...names.split("").flatMap((name) => Array<number>(BLOCK_TOKENS).fill(name.charCodeAt(0))),
  ...Array<number>(more).fill(0),
];
const blocksOf = (names: string) => names.split("").map((name) => blockOf(name.charCodeAt(0)));
const found = (cache: PrefixCache, names: string) => cache.match(tokensOf(names)).length;

describe("beginnings", () => {
  test("are found by their tokens, block by block", () => {
    const cache = new PrefixCache(1000);
    cache.keep(tokensOf("abc"), blocksOf("abc"));
    cache.keep(tokensOf("abd"), blocksOf("abd"));
    expect(cache.match(tokensOf("abdx"))).toEqual(blocksOf("abd"));
    expect(found(cache, "abx")).toBe(2);
    expect(found(cache, "bc")).toBe(0);
    expect(cache.stats.bytes).toBe(4 * BLOCK_BYTES);
  });
  test("leave at least one token to compute", () => {
    const cache = new PrefixCache(1000);
    cache.keep(tokensOf("ab"), blocksOf("ab"));
    expect(cache.match(tokensOf("ab", 0))).toHaveLength(1);
  });
  test("end before a block that is not full", () => {
    const cache = new PrefixCache(1000);
    cache.keep(tokensOf("ab", 5), [...blocksOf("ab"), blockOf(0, 5)]);
    expect(cache.stats.bytes).toBe(2 * BLOCK_BYTES);
  });
  test("that were used longest ago go first, ends before beginnings", () => {
    const cache = new PrefixCache(4 * BLOCK_BYTES);
    cache.keep(tokensOf("ab"), blocksOf("ab"));
    cache.keep(tokensOf("cd"), blocksOf("cd"));
    cache.match(tokensOf("ab"));
    cache.keep(tokensOf("e"), blocksOf("e"));
    expect([found(cache, "ab"), found(cache, "cd"), found(cache, "e")]).toEqual([2, 1, 1]);
  });
  test("never take more than they may, whatever comes, and never a wrong block", () => {
    const names = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(names, { maxLength: 40 }), fc.nat({ max: 8 }), (prompts, blocks) => {
        const cache = new PrefixCache(blocks * BLOCK_BYTES);
        for (const prompt of prompts.map((each) => each.join(""))) {
          const known = cache.match(tokensOf(prompt));
          expect(known).toEqual(blocksOf(prompt).slice(0, known.length));
          cache.keep(tokensOf(prompt), blocksOf(prompt));
          expect(cache.stats.bytes).toBeLessThanOrEqual(blocks * BLOCK_BYTES);
        }
      }),
    );
  });
});

describe("the engine", () => {
  let runtime: Runtime;
  beforeAll(() => {
    runtime = openRuntime();
  });
  afterAll(() => runtime.dispose());

  const { signal } = new AbortController();
  const sampling = {
    ...plainSampling,
    maxTokens: few(20, 4),
    endTokens: new Set<number>(),
    seed: 3,
  };
  const random = createRandom(4);
  /** Two chunks and a half. */
  const long = Array.from({ length: 5 * BLOCK_TOKENS }, () => random.integer(61));
  const config = { ...tinyConfig, contextTokens: 512 };

  const load = (head: Head) => loadModel(runtime, tinySource(1, config), head);
  const open = async (prefixBytesMax: number, sequencesMax = 4) =>
    new Engine(await load("logits"), { sequencesMax, queueSequencesMax: 64, prefixBytesMax });

  test("answers with the same bits from known beginnings, and computes only the rest", async () => {
    const [plain, cached] = [await open(0), await open(1e8)];
    const all = [long, [...long.slice(0, 200), ...long.slice(0, 50)], long, long.slice(0, 129)];
    const prompts = all.slice(0, few(4, 2));
    for (const prompt of prompts) {
      const expected = await plain.sample(prompt, 2, sampling, { signal });
      expectSame(await cached.sample(prompt, 2, sampling, { signal }), expected);
    }
    expect(plain.stats.prefixes).toMatchObject({ found: 0, bytes: 0 });
    // 0, then the whole blocks that each prompt shares with one before it, its last token left.
    expect(cached.stats.prefixes.found).toBe(few(0 + 3 + 4 + 2, 0 + 3) * BLOCK_TOKENS);
    await Promise.all([plain.dispose(), cached.dispose()]);
  });

  test("a reward model finds beginnings too", async () => {
    const [plain, cached] = [
      new RewardEngine(await load("scores")),
      new RewardEngine(await load("scores"), { prefixBytesMax: 1e8 }),
    ];
    for (const prompt of [long, long.slice(0, 300)]) {
      const scores = [plain, cached].map((engine) => engine.open(prompt, signal).score([1, 2, 3]));
      const [expected, score] = await Promise.all(scores);
      if (onCpu) expect(score).toBe(expected);
      else expect(score).toBeCloseTo(expected!, 3);
    }
    await Promise.all([plain.dispose(), cached.dispose()]);
  });

  test("long prompts are read between the steps of others, who never notice", async () => {
    const engine = await open(0);
    const alone = await engine.sample([1, 2, 3], 1, sampling, { signal });
    const order: string[] = [];
    const watched = (name: string) => ({ signal, onToken: () => !order.push(name) });
    const first = engine.sample([1, 2, 3], 1, sampling, watched("short"));
    const second = engine.sample(long, 1, sampling, watched("long"));
    expectSame(await first, alone);
    await second;
    // Three chunks: the short one has drawn more than one token before the long one's first.
    expect(order.indexOf("long")).toBeGreaterThanOrEqual(3);
    await engine.dispose();
  });

  test("a candidate that gave way draws the same tokens when it goes on", async () => {
    const engine = await open(0);
    const many = await engine.sample([4, 5, 6], 6, sampling, { signal });
    const one = await engine.sample([7, 8], 1, { ...sampling, maxTokens: 5 }, { signal });
    const short = { ...sampling, maxTokens: 5 };
    let later: Promise<unknown>[] = [];
    const again = await engine.sample([4, 5, 6], 6, sampling, {
      signal,
      onToken(index, _token) {
        // All four slots are taken: others come, one of them urgent.
        if (index === 3 && later.length === 0) {
          later = [
            engine.sample([7, 8], 1, short, { signal }),
            engine.sample([7, 8], 1, short, { signal, priority: 1 }),
          ];
        }
        return false;
      },
    });
    expectSame(await Promise.all(later), [one, one]);
    expectSame(again, many);
    expect(engine.stats.preemptions).toBeGreaterThan(0);
    await engine.dispose();
  });
});

/** Sequences whose tokens come from outside: rows among others, which sit out steps until their next token is there. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesPerToken } from "../../src/engine/cache.ts";
import { promptLookup } from "../../src/engine/drafts.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import { type Distribution, type Growing, noWork } from "../../src/engine/types.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { CountingTurnstile } from "../support/counting-turnstile.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { expectSame, onCpu } from "../support/test-provider.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const { signal } = new AbortController();
const config = { ...tinyConfig, contextTokens: 256 };
const prompt = Array.from({ length: 70 }, (_, t) => (t * t + 5) % 61);
const promptOf = (seed: number) => Array.from({ length: 3 + seed }, (_, t) => (t * seed + 5) % 61);
const endless = { ...plainSampling, maxTokens: 40, endTokens: new Set<number>() };

async function open(options: Partial<EngineOptions> = {}) {
  const turnstile = new CountingTurnstile();
  const model = await loadModel(runtime, tinySource(1, config), "logits", { turnstile });
  const engine = new Engine(model, { sequencesMax: 8, queueSequencesMax: 64, ...options });
  return { engine, turnstile };
}

const copyOf = ({ logits, logSumExp }: Distribution) => ({ logits: logits.slice(), logSumExp });

/** The i-th token that somebody appends to the prompt of this seed. */
const tokenOf = (seed: number, i: number) => (i * i + 7 * seed + 3) % 61;

/** Every distribution of a sequence that gets `count` tokens. @param pause before the i-th token. */
async function follow(
  engine: Engine,
  seed: number,
  count: number,
  pause: (i: number) => Promise<unknown> = () => Promise.resolve(),
) {
  const { growing, next } = await engine.grow(promptOf(seed), count, { signal });
  const rows = [copyOf(next)];
  for (let i = 0; i < count; i++) {
    await pause(i);
    rows.push(copyOf(await growing.append(tokenOf(seed, i))));
  }
  growing.close();
  return rows;
}

/** Bit for bit on the CPU; a device may sum in another order for another number of rows. */
function expectSameRows(
  found: readonly (readonly Distribution[])[],
  expected: readonly (readonly Distribution[])[],
): void {
  if (onCpu) expect(found).toEqual(expected);
  for (const [i, rows] of expected.entries()) {
    for (const [t, { logSumExp }] of rows.entries()) {
      expect(Math.abs(found[i]![t]!.logSumExp - logSumExp)).toBeLessThan(2e-2);
    }
  }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await nextTurn();
}

/** Greatest difference between a distribution and what scoring the whole says. */
async function worstError(
  engine: Engine,
  ids: readonly number[],
  { logits, logSumExp }: Distribution,
): Promise<number> {
  const errors: number[] = [];
  for (const next of [0, 7, 33, 60]) {
    const [scored] = await engine.score(ids, [next], { signal });
    errors.push(Math.abs(scored! - (logits[next]! - logSumExp)));
  }
  return Math.max(...errors);
}

describe("a sequence", () => {
  test("goes on as sampling would have gone on, with what scoring the whole says", async () => {
    const { engine } = await open();
    const greedy = { ...endless, temperature: 0, maxTokens: 8 };
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
    expect(growing.ids).toEqual([...prompt, ...found.slice(0, 7), found[7]]);
    expect(work.tokensRun - read).toBe(8);
    expect(work.modelMs).toBeGreaterThan(0);
    growing.close();
    await engine.dispose();
  });

  test.each([
    ["", {}],
    [", where others have guesses", { drafter: promptLookup }],
  ])("gets the same bits alone and among others of every pace%s", async (_, options) => {
    const { engine } = await open(options);
    const alone = [];
    for (const seed of [1, 2, 3, 4]) alone.push(await follow(engine, seed, 20));
    const sampled = [5, 6].map((seed) => ({ ...endless, seed }));
    const drawn = [];
    for (const each of sampled)
      drawn.push(await engine.sample(promptOf(each.seed), 2, each, { signal }));
    const paces = [0, 3, 1, 7]; // some sit out while those on both sides of them run
    const [mixed, beside] = await Promise.all([
      Promise.all(
        paces.map((pace, i) => follow(engine, i + 1, 20, (at) => turns(at % 2 ? pace : 0))),
      ),
      Promise.all(sampled.map((each) => engine.sample(promptOf(each.seed), 2, each, { signal }))),
    ]);
    expectSameRows(mixed, alone);
    expectSame(beside, drawn);
    expect(engine.stats).toMatchObject({ running: 0, waiting: 0 });
    await engine.dispose();
  });

  test("shares the runs of others that get their tokens at the same time", async () => {
    const { engine, turnstile } = await open();
    const runsOf = async (task: () => Promise<unknown>) => {
      const before = turnstile.runs;
      await task();
      return turnstile.runs - before;
    };
    expect(await runsOf(() => follow(engine, 1, 20))).toBe(1 + 20); // its prompt and its tokens
    const four = () => Promise.all([1, 2, 3, 4].map((seed) => follow(engine, seed, 20)));
    expect(await runsOf(four)).toBeLessThanOrEqual(4 + 20 + 3);
    const mixed = () =>
      Promise.all([four(), engine.sample(promptOf(5), 2, endless, { signal })] as const);
    expect(await runsOf(mixed)).toBeLessThanOrEqual(5 + 40 + 3);
    await engine.dispose();
  });

  test("that waits for its token holds nobody up", async () => {
    const { engine } = await open();
    const { growing } = await engine.grow(prompt, 40, { signal });
    const [before] = await engine.sample([1, 2], 1, endless, { signal });
    const scored = await engine.score([1, 2], [3, 4], { signal });
    const row = copyOf(await growing.append(3));
    const [after] = await engine.sample([1, 2], 1, endless, { signal });
    expectSame(after, before);
    expectSame(await engine.score([1, 2], [3, 4], { signal }), scored);
    expect(await worstError(engine, [...prompt, 3], row)).toBeLessThan(1e-4);
    growing.close();
    await engine.dispose();
  });

  test("takes one token at a time, up to the context's end", async () => {
    const { engine } = await open();
    const { growing } = await engine.grow(promptOf(3).slice(0, 6), 300, { signal });
    const first = growing.append(1);
    expect(() => growing.append(2)).toThrow("before the distribution of the last was there");
    await first;
    for (let i = 7; i < 256; i++) await growing.append(i % 61);
    expect(() => growing.append(2)).toThrow("the context's end");
    growing.close();
    growing.close();
    await expect(growing.append(2)).rejects.toThrow("the sequence was closed");
    await engine.dispose();
  });
});

describe("its slot", () => {
  test("gives way and comes back with the same bits, where memory is short", async () => {
    const { engine: roomy } = await open();
    const { engine } = await open({ cacheBytesMax: 448 * bytesPerToken(config) });
    const seeds = [1, 2, 3, 4];
    const alone = [];
    for (const seed of seeds) alone.push(await follow(roomy, seed, 150));
    const sampled = { ...endless, maxTokens: 150, seed: 9 };
    const drawn = await roomy.sample([1, 2], 3, sampled, { signal });
    const [mixed, beside] = await Promise.all([
      Promise.all(seeds.map((seed) => follow(engine, seed, 150))),
      engine.sample([1, 2], 3, sampled, { signal }),
    ]);
    expectSameRows(mixed, alone);
    expectSame(beside, drawn);
    expect(engine.stats.preemptions).toBeGreaterThan(0);
    await Promise.all([engine.dispose(), roomy.dispose()]);
  });

  test("is no trap: sequences that wait for each other's tokens share too few slots", async () => {
    const { engine } = await open({ sequencesMax: 3 });
    const { engine: roomy } = await open();
    const alone = [];
    for (const seed of [1, 2, 3, 4]) alone.push(await follow(roomy, seed, 6));
    const arrived: number[] = [0, 0, 0, 0, 0, 0];
    let wake = () => {};
    let woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    /** Until all four have their i-th distribution. */
    const all = async (i: number) => {
      arrived[i]! += 1;
      if (arrived[i] === 4) {
        wake();
        woken = new Promise((resolve) => {
          wake = resolve;
        });
      } else await woken;
    };
    expectSame(await Promise.all([1, 2, 3, 4].map((seed) => follow(engine, seed, 6, all))), alone);
    expect(engine.stats.preemptions).toBeGreaterThan(0);
    await Promise.all([engine.dispose(), roomy.dispose()]);
  });

  test("is free before the next step when its client has left, also while it sits out", async () => {
    const { engine } = await open({ sequencesMax: 2 });
    const controllers = [new AbortController(), new AbortController()];
    const grown: { growing: Growing }[] = [];
    for (const each of controllers) {
      grown.push(await engine.grow(prompt, 40, { signal: each.signal }));
    }
    const waiting = engine.grow([1, 2], 4, { signal: controllers[1]!.signal });
    expect(engine.stats).toMatchObject({ running: 2, waiting: 1 });
    controllers[1]!.abort(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
    await expect(grown[1]!.growing.append(1)).rejects.toThrow("gone");
    expect(engine.stats).toMatchObject({ running: 1, waiting: 0 });
    const running = grown[0]!.growing.append(1);
    controllers[0]!.abort(new Error("gone too"));
    await expect(running).rejects.toThrow("gone too");
    expect(await engine.sample([1, 2], 2, endless, { signal })).toHaveLength(2);
    expect(engine.stats.running).toBe(0);
    await expect(engine.grow(prompt, 4, { signal: controllers[0]!.signal })).rejects.toThrow(
      "gone too",
    );
    await engine.dispose();
  });

  test("is given back by who closes it, to who waits for it", async () => {
    const { engine } = await open({ sequencesMax: 1 });
    const low = { ...endless, seed: 2 };
    const { growing } = await engine.grow(prompt, 40, { signal });
    const waiting = engine.sample([1, 2], 1, low, { signal, priority: -1 });
    await turns(3);
    expect(engine.stats).toMatchObject({ running: 1, waiting: 1 });
    growing.close();
    await waiting;
    await engine.dispose();
  });

  test("that the budget could never hold is refused, with the numbers", async () => {
    const { engine } = await open({ cacheBytesMax: 128 * bytesPerToken(config) });
    await expect(engine.grow(prompt, 100, { signal })).rejects.toThrow(/170 .*128\./);
    await engine.dispose();
  });

  test("goes with the engine, which tells who waits for it", async () => {
    const { engine } = await open();
    const { growing } = await engine.grow(prompt, 40, { signal });
    const { growing: idle } = await engine.grow(prompt, 40, { signal });
    const waiting = expect(growing.append(1)).rejects.toMatchObject({ code: "shutting_down" });
    await engine.dispose();
    await waiting;
    await expect(idle.append(1)).rejects.toMatchObject({ code: "shutting_down" });
    growing.close();
    idle.close();
  });
});

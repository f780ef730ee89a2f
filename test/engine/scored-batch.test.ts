/** Alternatives of several sequences in one run, against one whole text after the other. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RewardEngine } from "../../src/engine/reward-engine.ts";
import type { ScoredGrowing } from "../../src/engine/types.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { TransformerConfig } from "../../src/onnx/transformer.ts";
import { CountingTurnstile } from "../support/counting-turnstile.ts";
import { onCpu } from "../support/test-provider.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const { signal } = new AbortController();
const long: TransformerConfig = { ...tinyConfig, contextTokens: 256 };
const promptOf = (seed: number, length = 30 + 20 * seed) =>
  Array.from({ length }, (_, t) => (t * t * seed + 5) % 61);

async function open(config = long, format: "float32" | "int8" | "int4" = "float32") {
  const turnstile = new CountingTurnstile();
  const model = await loadModel(runtime, tinySource(2, config), "scores", { turnstile, format });
  const reward = new RewardEngine(model);
  const grow = (seed: number) => reward.open(promptOf(seed), signal).grow();
  return { reward, turnstile, grow };
}

/** Alternatives of the i-th step of a sequence, of which it takes one. */
const stepOf = (seed: number, i: number) => {
  const ids = Array.from({ length: 2 + ((seed + i) % 4) }, (_, k) => (seed * 11 + i * 5 + k) % 61);
  const tails = ids.map((id) => Array.from({ length: (id + i) % 3 }, (_, t) => (id + t) % 61));
  return { ids, tails, chosen: i % ids.length };
};

/** All scores of some steps. */
async function follow(growing: ScoredGrowing, seed: number, steps: number) {
  const found: number[][] = [];
  for (let i = 0; i < steps; i++) {
    const { ids, tails, chosen } = stepOf(seed, i);
    found.push((await growing.branch(ids, tails)).map((row) => row[0]!));
    growing.accept(chosen);
  }
  return found;
}

const rotary = long.attention[0]!.rotary;
const variants: [string, TransformerConfig][] = [
  ["with grouped heads", long],
  ["with a head for each query", { ...long, kvHeads: long.heads }],
  [
    "with windows shorter and longer than the prompt",
    {
      ...long,
      attention: [
        { window: 3, rotary },
        { window: 20, rotary },
        { window: 100, rotary },
      ],
    },
  ],
  [
    "with a soft cap, and layers that know no positions",
    {
      ...long,
      attentionSoftcap: 2,
      attention: [
        { window: null, rotary },
        { window: null, rotary: null },
      ],
    },
  ],
];

describe.runIf(onCpu)("the score of an alternative", () => {
  test.each(variants)("and of what follows it is the whole text's %s", async (_, config) => {
    const { reward } = await open(config);
    const session = reward.open(promptOf(1), signal);
    const growing = await session.grow();
    const accepted: number[] = [];
    for (let i = 0; i < 12; i++) {
      const { ids, tails, chosen } = stepOf(1, i);
      const scores = await growing.branch(ids, tails);
      for (const [k, id] of ids.entries()) {
        const whole = await session.score([...accepted, id, ...tails[k]!]);
        expect(Math.abs(scores[k]![0]! - whole)).toBeLessThan(1e-4);
      }
      growing.accept(chosen);
      accepted.push(ids[chosen]!);
      expect(growing.ids).toEqual([...promptOf(1), ...accepted]);
    }
    growing.close();
    session.close();
    await reward.dispose();
  });

  test("is the same whichever alternatives stand beside it, to rounding", async () => {
    const { reward, grow } = await open();
    const growing = await grow(1);
    const all = [3, 1, 4, 15, 9, 2, 6];
    const together = await growing.branch(all);
    const reversed = (await growing.branch(all.toReversed())).toReversed();
    for (const [i, id] of all.entries()) {
      const [alone] = await growing.branch([id]);
      expect(Math.abs(alone![0]! - together[i]![0]!)).toBeLessThan(1e-5);
      expect(Math.abs(reversed[i]![0]! - together[i]![0]!)).toBeLessThan(1e-5);
    }
    expect(await growing.branch(all)).toEqual(together);
    growing.close();
    await reward.dispose();
  });

  test.each(["float32", "int8", "int4"] as const)(
    "has the same bits alone and among other sequences that come, go, and sit out (%s)",
    async (format) => {
      const { reward, grow } = await open(long, format);
      const alone = [];
      for (const seed of [1, 2, 3, 4, 5]) {
        const growing = await grow(seed);
        alone.push(await follow(growing, seed, 3 * seed));
        growing.close();
      }
      const opened = await Promise.all([1, 2, 3, 4, 5].map(grow));
      const idle = opened[1]!;
      const { ids, tails, chosen } = stepOf(2, 0);
      const first = (await idle.branch(ids, tails)).map((row) => row[0]!);
      const mixed = await Promise.all(
        [1, 3, 4, 5].map(async (seed) => {
          const growing = opened[seed - 1]!;
          const found = await follow(growing, seed, 3 * seed);
          growing.close(); // another one moves into its slot
          return found;
        }),
      );
      idle.accept(chosen); // what it was judged by then has lain there, and moved
      const rest = [];
      for (let i = 1; i < 6; i++) {
        const step = stepOf(2, i);
        rest.push((await idle.branch(step.ids, step.tails)).map((row) => row[0]!));
        idle.accept(step.chosen);
      }
      idle.close();
      expect([mixed[0], [first, ...rest], ...mixed.slice(1)]).toEqual(alone);
      await reward.dispose();
    },
  );
});

describe.runIf(onCpu)("a run", () => {
  test("judges what all ask; what is accepted needs none", async () => {
    const { reward, turnstile, grow } = await open();
    const opened = await Promise.all([1, 2, 3, 4].map(grow));
    const before = turnstile.runs;
    await Promise.all(opened.map((growing, i) => follow(growing, i + 1, 10)));
    expect(turnstile.runs - before).toBe(10);
    for (const growing of opened) growing.close();
    await reward.dispose();
  });

  test("is not so large that many alternatives of many would not take several", async () => {
    const { reward, turnstile, grow } = await open();
    const opened = await Promise.all([1, 2, 3, 4, 5].map(grow));
    const many = Array.from({ length: 256 }, (_, id) => id % 61);
    const alone = await opened[4]!.branch(many);
    const before = turnstile.runs;
    const judged = await Promise.all(opened.map((growing) => growing.branch(many)));
    expect(turnstile.runs - before).toBe(2); // 1,024 new tokens each at most
    expect(judged[4]).toEqual(alone);
    for (const growing of opened) growing.close();
    await reward.dispose();
  });
});

describe.runIf(onCpu)("a sequence", () => {
  test("may branch again before it accepts, and accepts of the last alternatives only", async () => {
    const { reward, grow } = await open();
    const growing = await grow(1);
    await growing.branch([1, 2, 3]);
    const pending = growing.branch([50, 51]);
    expect(() => growing.branch([1])).toThrow("the last alternatives are not judged yet");
    expect(() => growing.accept(0)).toThrow("there is no alternative 0 of 0");
    await pending;
    expect(() => growing.accept(2)).toThrow("there is no alternative 2 of 2");
    growing.accept(1);
    expect(growing.ids).toEqual([...promptOf(1), 51]);
    expect(() => growing.accept(0)).toThrow("there is no alternative 0 of 0");
    growing.close();
    growing.close();
    expect(() => growing.branch([1])).toThrow("the sequence was closed");
    await reward.dispose();
  });

  test("whose client has left is judged no more, and holds nobody up", async () => {
    const { reward, turnstile, grow } = await open();
    const controller = new AbortController();
    const left = await reward.open(promptOf(2), controller.signal).grow();
    const stays = await grow(1);
    const before = turnstile.runs;
    const judged = [left.branch([1, 2]), stays.branch([1, 2])];
    controller.abort(new Error("gone"));
    await expect(judged[0]).rejects.toThrow("gone");
    expect(await judged[1]).toHaveLength(2);
    expect(turnstile.runs - before).toBe(1);
    const last = expect(stays.branch([3])).rejects.toThrow("the sequence was closed");
    left.close();
    stays.close();
    await last;
    await reward.dispose();
  });

  test("goes with the engine, which tells who waits for it", async () => {
    const { reward, grow } = await open();
    const [asks, idle] = await Promise.all([grow(1), grow(2)]);
    const refused = expect(asks.branch([1])).rejects.toMatchObject({ code: "shutting_down" });
    await reward.dispose();
    await refused;
    asks.close();
    idle.close();
  });
});

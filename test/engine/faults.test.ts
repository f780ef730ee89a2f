/** Runs that fail in the middle: who is told, who goes on unharmed, and what becomes of the memory. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { bytesPerToken } from "../../src/engine/cache.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import { RewardEngine } from "../../src/engine/reward-engine.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import type { Completion } from "../../src/engine/types.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { onCpu } from "../support/test-provider.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

/** Fails the runs whose turn it is told. */
class FaultyTurnstile extends Turnstile {
  runs = 0;
  readonly failing = new Set<number>();

  override through(task: () => Promise<void>): Promise<number> {
    const run = this.runs++;
    return super.through(() =>
      this.failing.has(run) ? Promise.reject(new Error("the device was lost")) : task(),
    );
  }
}

const { signal } = new AbortController();
const config = { ...tinyConfig, contextTokens: 512 };
const sampling = (maxTokens = 30) => ({
  ...plainSampling,
  maxTokens,
  endTokens: new Set<number>(),
  seed: 1,
});
const promptOf = (length: number) => Array.from({ length }, (_, t) => (t * t + 8) % 61);

async function open(options: Partial<EngineOptions> = {}) {
  const turnstile = new FaultyTurnstile(systemClock);
  const model = await loadModel(runtime, tinySource(1, config), "logits", { turnstile });
  const engine = new Engine(model, { sequencesMax: 16, queueSequencesMax: 64, ...options });
  const ask = (length: number, n: number, maxTokens?: number) =>
    engine.sample(promptOf(length), n, sampling(maxTokens), { signal });
  /** Once the engine has run so many times. */
  const failAfter = (runs: number) => turnstile.failing.add(turnstile.runs + runs);
  return { engine, ask, failAfter };
}

/** After a fault everything is as it was: nobody runs, memory is back, and answers are the same. */
async function expectHealthy(
  { engine, ask }: Awaited<ReturnType<typeof open>>,
  expected: Completion[],
): Promise<void> {
  expect(await ask(20, 2)).toEqual(expected);
  expect(engine.stats).toMatchObject({ running: 0, waiting: 0 });
  await engine.dispose();
}

const lost = { code: "engine_failed", message: expect.stringContaining("the device was lost") };

describe("a run that fails", () => {
  test("while a prompt is read fails that request alone", async () => {
    const world = await open();
    const expected = await world.ask(20, 2);
    const others = [world.ask(10, 3), world.ask(12, 1)];
    world.failAfter(2); // two prompts are read, with a step after the first
    const results = await Promise.allSettled([...others, world.ask(30, 1)]);
    expect(results.filter(({ status }) => status === "rejected")).toHaveLength(1);
    await expectHealthy(world, expected);
  });

  test.runIf(onCpu)(
    "while tokens are decoded fails those whose run it was, and not those who share a prompt",
    async () => {
      const world = await open();
      const expected = await world.ask(20, 2);
      const shared = world.ask(300, 4, 60);
      await world.ask(5, 1, 1); // the prompt of 300 is being read
      const doomed = world.ask(5, 2);
      doomed.catch(() => undefined);
      world.failAfter(3);
      const [first, second] = await Promise.allSettled([doomed, shared]);
      const failed = [first, second].filter(({ status }) => status === "rejected");
      expect(failed).toEqual([{ status: "rejected", reason: expect.objectContaining(lost) }]);
      await expectHealthy(world, expected);
    },
  );

  test("while a completion is scored fails that score alone", async () => {
    const world = await open();
    const expected = await world.ask(20, 2);
    const score = () => world.engine.score(promptOf(10), [1, 2], { signal });
    const good = await score();
    world.failAfter(0);
    await expect(score()).rejects.toThrow("the device was lost");
    expect(await score()).toEqual(good);
    await expectHealthy(world, expected);
  });

  test("of sequences whose tokens come from outside fails those that ran, not who sat out", async () => {
    const world = await open();
    const expected = await world.ask(20, 2);
    const grow = () => world.engine.grow(promptOf(10), 20, { signal });
    const [{ growing: idle }, { growing: ran }] = [await grow(), await grow()];
    world.failAfter(0);
    await expect(ran.append(1)).rejects.toMatchObject(lost);
    await expect(ran.append(1)).rejects.toMatchObject(lost);
    const after = await idle.append(1);
    const { growing: again } = await grow();
    expect(await again.append(1)).toEqual(after);
    for (const each of [idle, ran, again]) each.close();
    await expectHealthy(world, expected);
  });

  test.runIf(onCpu)("of alternatives is told to who asked, and may be asked again", async () => {
    const turnstile = new FaultyTurnstile(systemClock);
    const model = await loadModel(runtime, tinySource(2, config), "scores", { turnstile });
    const reward = new RewardEngine(model);
    const growing = await reward.open(promptOf(10), signal).grow();
    const good = await growing.branch([1, 2]);
    turnstile.failing.add(turnstile.runs);
    await expect(growing.branch([1, 2])).rejects.toThrow("the device was lost");
    expect(() => growing.accept(0)).toThrow("there is no alternative 0 of 0");
    expect(await growing.branch([1, 2])).toEqual(good);
    growing.close();
    await reward.dispose();
  });

  test("gives back the memory of those it failed", async () => {
    const world = await open({ cacheBytesMax: 1024 * bytesPerToken(config) });
    for (let round = 0; round < 8; round++) {
      world.failAfter(4 + round);
      await expect(world.ask(260, 5, 100)).rejects.toMatchObject(lost);
    }
    expect(await world.ask(260, 5, 100)).toHaveLength(5); // would not fit beside anything left behind
    await world.engine.dispose();
  });
});

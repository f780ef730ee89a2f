/** A model that learns: it learns, goes on exactly where it stopped, and keeps what was good. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import { cosineSchedule } from "../../src/onnx/optimizers.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { supervisedStep } from "../../src/train/batches.ts";
import { bradleyTerry } from "../../src/train/losses/reward/bradley-terry.ts";
import { sft } from "../../src/train/losses/supervised/sft.ts";
import { Trainer, type TrainerOptions } from "../../src/train/trainer.ts";
import { momentNames } from "../../src/train/training-graph.ts";
import {
  examples,
  policyConfig,
  rewardBatch,
  rewardConfig,
  startingWeights,
  supervisedBatch,
} from "../support/tiny-training.ts";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const optimizer = { schedule: cosineSchedule(0.02, 5, 80), weightDecay: 0 };
const supervised: TrainerOptions = { config: policyConfig, loss: sft, optimizer, threads: 1 };
const reward: TrainerOptions = { config: rewardConfig, loss: bradleyTerry, optimizer, threads: 1 };

describe("learning", () => {
  test("a policy learns a batch by heart, from ln V down", async () => {
    const trainer = await Trainer.create(runtime, supervised, startingWeights(policyConfig));
    const losses: number[] = [];
    for (let i = 0; i < 80; i++) losses.push((await trainer.run(supervisedBatch()))["loss"]!);
    trainer.dispose();
    expect(Math.abs(losses[0]! - Math.log(20))).toBeLessThan(0.1); // small weights guess uniformly
    expect(losses.at(-1)).toBeLessThan(0.02);
    expect(trainer.step).toBe(80);
  });

  test("a reward model learns its pairs, from ln 2 down", async () => {
    const trainer = await Trainer.create(runtime, reward, startingWeights(rewardConfig));
    const first = await trainer.run(rewardBatch());
    expect(first["loss"]).toBeCloseTo(Math.LN2, 6); // the score head starts at 0
    for (let i = 1; i < 40; i++) await trainer.run(rewardBatch());
    const last = await trainer.run(rewardBatch());
    trainer.dispose();
    expect(last["accuracy"]).toBe(1);
    expect(last["loss"]).toBeLessThan(0.3);
    expect(last["margin"]).toBeGreaterThan(1);
  });

  test("weight decay pulls at the matrices, but not at norms or the embedding", async () => {
    const trainedWith = async (weightDecay: number) => {
      const options = { ...supervised, optimizer: { ...optimizer, weightDecay } };
      const trainer = await Trainer.create(runtime, options, startingWeights(policyConfig));
      await trainer.run(supervisedBatch());
      const state = trainer.state();
      trainer.dispose();
      return state;
    };
    const [plain, decayed] = [await trainedWith(0), await trainedWith(0.5)];
    const pulled = [...startingWeights(policyConfig)].flatMap(([name, data]) =>
      data.every((_, i) => plain.get(name)![i] === decayed.get(name)![i]) ? [] : [name],
    );
    const matrices = [...startingWeights(policyConfig).keys()].filter((name) => /_proj/.test(name));
    expect(pulled.sort()).toEqual(matrices.sort());
  });

  test("the learning rate is the schedule's", async () => {
    const trainer = await Trainer.create(runtime, supervised, startingWeights(policyConfig));
    const rates: number[] = [];
    for (let i = 0; i < 3; i++)
      rates.push((await trainer.run(supervisedBatch()))["learning_rate"]!);
    trainer.dispose();
    for (const [i, rate] of rates.entries()) expect(rate).toBeCloseTo((0.02 * (i + 1)) / 5, 7);
  });
});

describe("state", () => {
  test("taken in the middle and given to another trainer leads to the same weights, bit by bit", async () => {
    const through = await Trainer.create(runtime, supervised, startingWeights(policyConfig));
    for (let i = 0; i < 3; i++) await through.run(supervisedBatch());
    const [state, step] = [through.state(), through.step];
    for (let i = 0; i < 3; i++) await through.run(supervisedBatch());

    const resumed = await Trainer.create(runtime, supervised, state, step);
    for (let i = 0; i < 3; i++) await resumed.run(supervisedBatch());
    expect(resumed.step).toBe(6);
    expect(resumed.state()).toEqual(through.state());
    expect(resumed.state()).not.toEqual(state);
    through.dispose();
    resumed.dispose();
  });

  test("holds every weight and both its moments, as copies", async () => {
    const weights = startingWeights(policyConfig);
    const trainer = await Trainer.create(runtime, supervised, weights);
    const state = trainer.state();
    const names = [...weights.keys()].flatMap((name) => [
      name,
      ...Object.values(momentNames(name)),
    ]);
    expect([...state.keys()].sort()).toEqual(names.sort());
    const embedding = "model.embed_tokens.weight";
    expect(state.get(embedding)).toEqual(weights.get(embedding));
    state.get(embedding)!.fill(9);
    expect(trainer.state().get(embedding)).toEqual(weights.get(embedding));
    trainer.dispose();
  });

  test("is refused when a weight is missing, or a weight or moment has another size", async () => {
    const weights = () => startingWeights(policyConfig);
    const create = (state: Map<string, Float32Array>) => Trainer.create(runtime, supervised, state);
    const missing = weights();
    missing.delete("model.norm.weight");
    await expect(create(missing)).rejects.toThrow(/model.norm.weight has no initial value/);
    const short = weights().set("model.norm.weight", new Float32Array(15));
    await expect(create(short)).rejects.toThrow(/model.norm.weight has 15 values, not \[16\]/);
    const moment = weights().set("first.model.norm.weight", new Float32Array(17));
    await expect(create(moment)).rejects.toThrow(InvariantError);
  });
});

describe("a step that fails", () => {
  test("for a loss that is not finite keeps weights, moments and step, and training goes on", async () => {
    const trainer = await Trainer.create(runtime, supervised, startingWeights(policyConfig));
    await trainer.run(supervisedBatch());
    const before = trainer.state();
    const bad = supervisedBatch();
    bad.float32["weights"]!.fill(Number.POSITIVE_INFINITY);
    await expect(trainer.run(bad)).rejects.toThrow(/the loss of step 2 is NaN/);
    expect(trainer.step).toBe(1);
    expect(trainer.state()).toEqual(before);
    expect((await trainer.run(supervisedBatch()))["loss"]).toBeLessThan(Math.log(20));
    trainer.dispose();
  });

  test("for a gradient that overflows under a finite loss keeps them too", async () => {
    const weights = startingWeights(rewardConfig).set(
      "score.weight",
      new Float32Array(16).fill(1e15),
    );
    const trainer = await Trainer.create(runtime, reward, weights);
    const before = trainer.state();
    await expect(trainer.run(rewardBatch())).rejects.toThrow(
      /gradient_norm of step 1 is (Inf|NaN)/,
    );
    expect(trainer.state()).toEqual(before);
    trainer.dispose();
  });
});

describe("a step in passes", () => {
  const whole = [...examples, { prompt: [2], completion: [13, 14, 0] }];
  const tokens = (some: typeof whole) =>
    some.reduce((n, { completion }) => n + completion.length, 0);
  const passes = (cuts: readonly (readonly [number, number])[]) =>
    cuts.map(([from, to]) => {
      const some = whole.slice(from, to);
      return { data: supervisedStep(some, 12), share: tokens(some) / tokens(whole) };
    });

  test("gives the weights and the numbers of one large batch", async () => {
    const options = { ...supervised, optimizer: { ...optimizer, clipNorm: 0.5 } };
    const trained = async (cuts: readonly (readonly [number, number])[]) => {
      const trainer = await Trainer.create(runtime, options, startingWeights(policyConfig));
      const metrics: Record<string, number>[] = [];
      for (let i = 0; i < 5; i++) metrics.push(await trainer.runPasses(passes(cuts)));
      const state = trainer.state();
      trainer.dispose();
      return { metrics, state };
    };
    const one = await trained([[0, 4]]);
    const three = await trained([
      [0, 1],
      [1, 3],
      [3, 4],
    ]);
    for (const [i, metrics] of one.metrics.entries())
      for (const [name, value] of Object.entries(metrics))
        expect(three.metrics[i]![name]).toBeCloseTo(value, 5);
    let furthest = 0;
    for (const name of startingWeights(policyConfig).keys())
      one.state.get(name)!.forEach((value, i) => {
        furthest = Math.max(furthest, Math.abs(value - three.state.get(name)![i]!));
      });
    expect(furthest).toBeLessThan(2e-4); // five steps of up to 0.02 each, where Adam divides rounding by rounding
    const start = startingWeights(policyConfig).get("model.norm.weight")!;
    expect(Math.abs(one.state.get("model.norm.weight")![0]! - start[0]!)).toBeGreaterThan(0.01);
  });

  test("says which of them has no finite loss, and changes nothing", async () => {
    const trainer = await Trainer.create(runtime, supervised, startingWeights(policyConfig));
    const before = trainer.state();
    const bad = passes([
      [0, 2],
      [2, 4],
    ]);
    bad[1]!.data.float32["weights"]!.fill(Number.NaN);
    await expect(trainer.runPasses(bad)).rejects.toMatchObject({
      metric: "loss",
      step: 1,
      pass: 1,
    });
    expect(trainer.state()).toEqual(before);
    trainer.dispose();
  });

  test("is evaluated without a change: the loss that the next step reports", async () => {
    const trainer = await Trainer.create(runtime, supervised, startingWeights(policyConfig));
    await trainer.run(supervisedBatch());
    const before = trainer.state();
    const { loss } = await trainer.evaluate(passes([[0, 4]]));
    expect(trainer.state()).toEqual(before);
    const stepped = await trainer.runPasses(passes([[0, 4]]));
    expect(loss).toBeCloseTo(stepped["loss"]!, 5);
    trainer.dispose();
  });
});

describe("memory", () => {
  test("is given back when trainers are disposed", async () => {
    // 1 M weights: 24 MB of weights, moments and their successors, kept by nothing
    const config = { ...policyConfig, vocabSize: 8192, hiddenSize: 128, layers: 1, headDim: 64 };
    const weights = startingWeights(config);
    const cycle = async () => {
      const trainer = await Trainer.create(runtime, { ...supervised, config }, weights);
      await trainer.run(supervisedBatch());
      trainer.dispose();
      collectGarbage();
    };
    for (let i = 0; i < 3; i++) await cycle();
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 10; i++) await cycle();
    expect((process.memoryUsage.rss() - before) / 2 ** 20).toBeLessThan(80);
  });

  test("is not touched after disposal", async () => {
    const trainer = await Trainer.create(runtime, supervised, startingWeights(policyConfig));
    trainer.dispose();
    expect(() => trainer.state()).toThrow(InvariantError);
    await expect(trainer.run(supervisedBatch())).rejects.toThrow(InvariantError);
  });
});

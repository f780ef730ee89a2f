/** LoRA: it begins as the base, is the merged matrices, learns what they could, and costs what it should. */
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { type LoraSettings, loraModules } from "../../src/checkpoints/adapter.ts";
import { encode } from "../../src/onnx/encode.ts";
import { ModelProtoSchema } from "../../src/onnx/generated/onnx_pb.ts";
import { Graph } from "../../src/onnx/graph.ts";
import { cosineSchedule } from "../../src/onnx/optimizers.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import {
  applyHead,
  packedForward,
  packedInputs,
  type WeightSource,
  wholeWeights,
} from "../../src/onnx/transformer.ts";
import { initialLora, trainedLora, withLora } from "../../src/train/lora.ts";
import { bradleyTerry } from "../../src/train/losses/reward/bradley-terry.ts";
import { sft } from "../../src/train/losses/supervised/sft.ts";
import { Trainer, type TrainerOptions } from "../../src/train/trainer.ts";
import { gradientGraph, type Trained } from "../../src/train/training-graph.ts";
import { count, nd } from "../support/arrays.ts";
import { gradientError } from "../support/gradients.ts";
import { type Feed, feed } from "../support/graphs.ts";
import {
  policyConfig,
  rewardBatch,
  rewardConfig,
  startingWeights,
  supervisedBatch,
} from "../support/tiny-training.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const lora: LoraSettings = { rank: 3, alpha: 7, isRankStabilized: true, modules: loraModules };
const optimizer = { schedule: cosineSchedule(0.02, 5, 120), weightDecay: 0 };
const options: TrainerOptions = { config: policyConfig, loss: sft, optimizer, threads: 1 };
const initial = (settings = lora) => initialLora(policyConfig, settings, createRandom(3));

/** Embeddings of a size at which logits can tell tokens apart, since LoRA leaves them as they are. */
function base(config = policyConfig): Map<string, Float32Array> {
  const weights = startingWeights(config);
  const name = "model.embed_tokens.weight";
  return weights.set(
    name,
    weights.get(name)!.map((x) => 50 * x),
  );
}

/** A and B far from where they begin. */
function drawn(settings = lora): Map<string, Float32Array> {
  const random = createRandom(4);
  const weights = [...initial(settings)].map(([name, values]): [string, Float32Array] => [
    name,
    values.map(() => 0.2 * random.normal()),
  ]);
  return new Map(weights);
}

async function lossesOf(
  how: TrainerOptions,
  state: ReadonlyMap<string, Float32Array>,
  steps: number,
): Promise<{ losses: number[]; state: Map<string, Float32Array> }> {
  const trainer = await Trainer.create(runtime, how, state);
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) losses.push((await trainer.run(supervisedBatch()))["loss"]!);
  const end = trainer.state();
  trainer.dispose();
  return { losses, state: end };
}

test("begins as the base, bit by bit", async () => {
  const plain = await lossesOf(options, base(), 1);
  const adapted = await lossesOf({ ...options, lora }, new Map([...base(), ...initial()]), 1);
  expect(adapted.losses[0]).toBe(plain.losses[0]);
});

test("A is drawn as PEFT draws it, and anew by another seed; B is 0", () => {
  const settings = { ...lora, rank: 64 };
  const module = "model.layers.1.mlp.down_proj"; // 24 inputs
  const a = initial(settings).get(`${module}.lora_A.weight`)!;
  const bound = 1 / Math.sqrt(24);
  const largest = Math.max(...a.map(Math.abs));
  expect(largest).toBeLessThanOrEqual(bound);
  expect(largest).toBeGreaterThan(0.98 * bound);
  const variance = a.reduce((sum, x) => sum + x * x, 0) / a.length;
  expect(variance / (bound ** 2 / 3)).toBeGreaterThan(0.9); // a uniform distribution's
  expect(variance / (bound ** 2 / 3)).toBeLessThan(1.1);
  expect(initial(settings).get(`${module}.lora_A.weight`)).toEqual(a);
  const other = initialLora(policyConfig, settings, createRandom(5));
  expect(other.get(`${module}.lora_A.weight`)).not.toEqual(a);
  expect(initial(settings).get(`${module}.lora_B.weight`)).toEqual(new Float32Array(16 * 64));
});

test("is W + s·B·A", async () => {
  const merged = base();
  for (const [module, matrix] of trainedLora(policyConfig, lora, drawn())) {
    const { rank, inputs, a, b } = matrix;
    const scale = 7 / Math.sqrt(3);
    const sum = (at: number, row = Math.floor(at / inputs)) =>
      Array.from({ length: rank }, (_, k) => b[row * rank + k]! * a[k * inputs + (at % inputs)]!);
    const add = (value: number, at: number) =>
      value + scale * sum(at).reduce((total, each) => total + each);
    merged.set(`${module}.weight`, merged.get(`${module}.weight`)!.map(add));
  }
  const adapted = await lossesOf({ ...options, lora }, new Map([...base(), ...drawn()]), 1);
  const whole = await lossesOf(options, merged, 1);
  const plain = await lossesOf(options, base(), 1);
  expect(Math.abs(adapted.losses[0]! - plain.losses[0]!)).toBeGreaterThan(0.1);
  expect(adapted.losses[0]).toBeCloseTo(whole.losses[0]!, 5);
});

test("has the gradient that finite differences give", async () => {
  const g = new Graph();
  const feeds: Record<string, Feed> = {};
  const all = new Map([...base(), ...drawn()]);
  const weight: WeightSource = (name, shape) => {
    const known = g.inputs.find((input) => input.name === name);
    if (known) return known;
    const values = all.get(name)!;
    expect(values.length).toBe(count(shape));
    feeds[name] = feed("float32", nd(shape, [...values]));
    return g.input(name, "float32", shape);
  };
  const weights = withLora(g, wholeWeights(g, weight), weight, lora);
  const hidden = packedForward(g, policyConfig, weights, packedInputs(g));
  const y = g.logSoftmax(applyHead(g, policyConfig, weight, "logits", hidden));
  const { packed } = supervisedBatch();
  const ints = (values: BigInt64Array) =>
    feed("int64", nd([packed.rows, packed.tokensPerRow], [...values].map(Number)), [
      "batch",
      "tokens",
    ]);
  const tokens = {
    input_ids: ints(packed.ids),
    position_ids: ints(packed.positions),
    segment_ids: ints(packed.segments),
  };
  const wanted = Object.keys(feeds).filter((name) => name.includes(".lora_"));
  expect(wanted).toHaveLength(2 * 7 * policyConfig.layers);
  const error = await gradientError(
    runtime,
    { g, y, feeds: { ...feeds, ...tokens }, wanted },
    { step: 0.02, samples: 6 },
  );
  expect(error).toBeLessThan(0.02);
});

describe("training", () => {
  test("of full rank reaches what training the matrices themselves reaches", async () => {
    const full = { ...lora, rank: 24, alpha: 24, isRankStabilized: false };
    const state = new Map([...base(), ...initial(full)]);
    const adapted = await lossesOf({ ...options, lora: full }, state, 120);
    const isTrained = (name: string) => name.includes("_proj");
    const matrices = await lossesOf({ ...options, isTrained }, base(), 120);
    expect(adapted.losses[0]).toBeGreaterThan(2);
    expect(matrices.losses.at(-1)).toBeLessThan(0.01);
    expect(adapted.losses.at(-1)).toBeLessThan(0.01);
  });

  test("changes A and B only, and keeps nothing of the rest", async () => {
    const before = base();
    const state = new Map([...before, ...initial()]);
    const after = await lossesOf({ ...options, lora }, state, 3);
    const names = [...initial().keys()].flatMap((name) => [
      name,
      `first.${name}`,
      `second.${name}`,
    ]);
    expect([...after.state.keys()].sort()).toEqual(names.sort());
    for (const [name, values] of base()) expect(before.get(name)).toEqual(values);
    for (const [name, values] of initial()) expect(after.state.get(name), name).not.toEqual(values);
  });

  test("goes on from a saved state and the base, bit by bit", async () => {
    const state = new Map([...base(), ...initial()]);
    const through = await lossesOf({ ...options, lora }, state, 4);
    const half = await lossesOf({ ...options, lora }, state, 2);
    const resumed = new Map([...base(), ...half.state]);
    const trainer = await Trainer.create(runtime, { ...options, lora }, resumed, 2);
    for (let i = 0; i < 2; i++) await trainer.run(supervisedBatch());
    expect(trainer.state()).toEqual(through.state);
    trainer.dispose();
  });

  test("trains the score head beside the adapter, as PEFT does", async () => {
    const how = { ...options, config: rewardConfig, loss: bradleyTerry, lora };
    const state = new Map([
      ...base(rewardConfig),
      ...initialLora(rewardConfig, lora, createRandom(3)),
    ]);
    const trainer = await Trainer.create(runtime, how, state);
    for (let i = 0; i < 40; i++) await trainer.run(rewardBatch());
    const last = await trainer.run(rewardBatch());
    expect(trainer.weights.map(({ name }) => name).filter((name) => !/lora/.test(name))).toEqual([
      "score.weight",
    ]);
    trainer.dispose();
    expect(last["accuracy"]).toBe(1);
    expect(last["loss"]).toBeLessThan(0.3);
  });
});

/** Matrix products that the runtime is given. */
function products(how: Trained): number {
  const { graph } = gradientGraph(policyConfig, sft, {}, how);
  const { graph: model } = fromBinary(ModelProtoSchema, encode(graph));
  return model!.node.filter(({ opType }) => opType.endsWith("MatMul")).length;
}

test("computes no gradient of a weight that is not trained", () => {
  const { layers } = policyConfig;
  const [matrices, inAttention, head] = [7 * layers, 2 * layers, 1];
  const forward = matrices + inAttention + head;
  expect(products({})).toBe(3 * forward); // of both factors of each product
  // Nothing to be learned lies before the first q, k and v: no gradient of what they read.
  const ofInputs = matrices - 3;
  const backward = ofInputs + 2 * inAttention + head;
  const own = 2 * matrices + 3 * matrices + ofInputs; // forward; of A, B and between; of what A reads
  expect(products({ lora })).toBe(forward + backward + own);
});

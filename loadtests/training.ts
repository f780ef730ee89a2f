/** Tokens per second of a training step of the embedded policy, and of its forward pass alone. */

import { architecture } from "../models/recipe/settings.ts";
import { createRandom } from "../src/base/random.ts";
import { parseModelConfig } from "../src/checkpoints/config.ts";
import { encode } from "../src/onnx/encode.ts";
import { cosineSchedule } from "../src/onnx/optimizers.ts";
import { openRuntime, type Runtime, type Tensor } from "../src/onnx/runtime/index.ts";
import { type StepData, supervisedStep } from "../src/train/batches.ts";
import { initialWeights } from "../src/train/initial-weights.ts";
import { sft } from "../src/train/losses/supervised/sft.ts";
import { Trainer } from "../src/train/trainer.ts";
import { lossGraph } from "../src/train/training-graph.ts";
import { median, timed } from "./engine.ts";

const REPEATS = 5;
const TOKENS_PER_ROW = 256;
const EXAMPLE_TOKENS = 42;

export async function measureTraining() {
  const runtime = openRuntime();
  const config = parseModelConfig("the recipe", {
    config: { architectures: ["LlamaForCausalLM"], ...architecture, vocab_size: 1536 },
    generation: null,
  });
  const random = createRandom(1);
  const data = syntheticStep(random, config.vocabSize);
  const forwardGraph = lossGraph(config, sft, {});
  const shapes = new Map(forwardGraph.weights.map(({ name, shape }) => [name, shape]));
  const weights = initialWeights(shapes, config.layers, random);
  const trainer = await Trainer.create(
    runtime,
    { config, loss: sft, optimizer: { schedule: cosineSchedule(1e-3, 1, 100) } },
    weights,
  );
  const forward = await runtime.session(encode(forwardGraph.graph));
  const feeds = { ...tensors(runtime, data), ...weightTensors(runtime, weights, shapes) };
  const binding = forward.bind({ inputs: feeds, outputs: { loss: "cpu" } });
  const ms = { step: [] as number[], forward: [] as number[] };
  for (let repeat = -2; repeat < REPEATS; repeat++) {
    const step = await timed(() => trainer.run(data));
    const alone = await timed(() => forward.run(binding));
    if (repeat < 0) continue; // the first runs allocate
    ms.step.push(step);
    ms.forward.push(alone);
  }
  binding.dispose();
  forward.dispose();
  trainer.dispose();
  const tokens = data.packed.ids.length;
  return {
    stepTokensPerSecond: (tokens * 1000) / median(ms.step),
    forwardTokensPerSecond: (tokens * 1000) / median(ms.forward),
  };
}

/** Three examples of the corpus' usual size fill a row. */
function syntheticStep(random: ReturnType<typeof createRandom>, vocabSize: number): StepData {
  const tokens = () => Array.from({ length: EXAMPLE_TOKENS }, () => random.integer(vocabSize));
  const examples = Array.from({ length: 48 }, () => ({ prompt: tokens(), completion: tokens() }));
  return supervisedStep(examples, TOKENS_PER_ROW);
}

function tensors(runtime: Runtime, { packed, int64, float32 }: StepData): Record<string, Tensor> {
  const shape = [packed.rows, packed.tokensPerRow];
  return {
    input_ids: runtime.tensor("int64", shape, packed.ids),
    position_ids: runtime.tensor("int64", shape, packed.positions),
    segment_ids: runtime.tensor("int64", shape, packed.segments),
    ...mapValues(int64, (data) => runtime.tensor("int64", [data.length], data)),
    ...mapValues(float32, (data) => runtime.tensor("float32", [data.length], data)),
  };
}

function weightTensors(
  runtime: Runtime,
  weights: ReadonlyMap<string, Float32Array>,
  shapes: ReadonlyMap<string, readonly number[]>,
): Record<string, Tensor> {
  return Object.fromEntries(
    [...weights].map(([name, data]) => [name, runtime.tensor("float32", shapes.get(name)!, data)]),
  );
}

function mapValues<T, R>(
  record: Readonly<Record<string, T>>,
  change: (value: T) => R,
): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}

/** A transformer of a few thousand random weights: every code path of a real one, in milliseconds. */

import { systemClock } from "../../src/base/clock.ts";
import { createRandom } from "../../src/base/random.ts";
import {
  type ModelSource,
  ServingModel,
  type ServingOptions,
} from "../../src/engine/serving-model.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import type { Runtime } from "../../src/onnx/runtime/index.ts";
import type { Head, TransformerConfig } from "../../src/onnx/transformer.ts";
import { tinyLlama } from "./configs.ts";
import { testProvider } from "./test-provider.ts";

export const tinyConfig: TransformerConfig = tinyLlama({
  vocab_size: 61,
  hidden_size: 32,
  intermediate_size: 48,
  max_position_embeddings: 64,
});

/** Weights large enough that the next token's distribution is neither flat nor certain. */
export function tinySource(seed = 1, config: TransformerConfig = tinyConfig): ModelSource {
  const random = createRandom(seed);
  const { vocabSize, hiddenSize: d, intermediateSize: inner, heads, kvHeads, headDim } = config;
  const shapes: [string, number[]][] = [
    ["model.embed_tokens.weight", [vocabSize, d]],
    ["model.norm.weight", [d]],
    ["lm_head.weight", [vocabSize, d]],
    ["score.weight", [1, d]],
  ];
  for (let layer = 0; layer < config.layers; layer++) {
    const at = (name: string, ...shape: number[]) =>
      shapes.push([`model.layers.${layer}.${name}.weight`, shape]);
    at("input_layernorm", d);
    at("post_attention_layernorm", d);
    at("self_attn.q_proj", heads * headDim, d);
    at("self_attn.k_proj", kvHeads * headDim, d);
    at("self_attn.v_proj", kvHeads * headDim, d);
    at("self_attn.o_proj", d, heads * headDim);
    at("mlp.gate_proj", inner, d);
    at("mlp.up_proj", inner, d);
    at("mlp.down_proj", d, inner);
  }
  const weights = new Map(
    shapes.map(([name, shape]) => {
      const count = shape.reduce((product, size) => product * size, 1);
      const data = Float32Array.from({ length: count }, () => 0.3 * random.normal());
      return [name, { shape, data: shape.length === 1 ? data.map((x) => 1 + x / 3) : data }];
    }),
  );
  return { config, revision: `tiny-${seed}`, weight: (name) => weights.get(name)! };
}

/** On the provider that is tested, one thread, a turnstile of its own. */
export function loadModel(
  runtime: Runtime,
  source: ModelSource,
  head: Head,
  more: Partial<ServingOptions> = {},
): Promise<ServingModel> {
  const turnstile = new Turnstile(systemClock);
  return ServingModel.load(runtime, source, head, {
    provider: testProvider,
    turnstile,
    threads: 1,
    ...more,
  });
}

/** Which tensors a Llama-style decoder has, by Hugging Face's names. Knows nothing of files. */

import type { ModelConfig } from "./config.ts";

/**
 * Every weight of the model that the configuration describes → its shape, in order from input to output.
 * Matrices are [outputs, inputs], as PyTorch keeps them: y = x Wᵀ.
 */
export function weightShapes(config: ModelConfig): Map<string, readonly number[]> {
  const { vocabSize, hiddenSize, layers, tieEmbeddings, numLabels } = config;
  const shapes = new Map<string, readonly number[]>();
  shapes.set("model.embed_tokens.weight", [vocabSize, hiddenSize]);
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, shape] of layerShapes(config)) {
      shapes.set(`model.layers.${layer}.${name}`, shape);
    }
  }
  shapes.set("model.norm.weight", [hiddenSize]);
  if (numLabels !== undefined) shapes.set("score.weight", [numLabels, hiddenSize]);
  else if (!tieEmbeddings) shapes.set("lm_head.weight", [vocabSize, hiddenSize]);
  return shapes;
}

/** Values in all weights. */
export function parameterCount(config: ModelConfig): number {
  let n = 0;
  for (const shape of weightShapes(config).values()) n += shape.reduce((a, b) => a * b, 1);
  return n;
}

function layerShapes(config: ModelConfig): [string, readonly number[]][] {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, attentionBias, mlpBias } = config;
  const linear = (name: string, [outputs, inputs]: [number, number], hasBias: boolean) => {
    const weight: [string, readonly number[]] = [`${name}.weight`, [outputs, inputs]];
    const bias: [string, readonly number[]] = [`${name}.bias`, [outputs]];
    return hasBias ? [weight, bias] : [weight];
  };
  return [
    ["input_layernorm.weight", [hiddenSize]],
    ...linear("self_attn.q_proj", [heads * headDim, hiddenSize], attentionBias),
    ...linear("self_attn.k_proj", [kvHeads * headDim, hiddenSize], attentionBias),
    ...linear("self_attn.v_proj", [kvHeads * headDim, hiddenSize], attentionBias),
    ...linear("self_attn.o_proj", [hiddenSize, heads * headDim], attentionBias),
    ["post_attention_layernorm.weight", [hiddenSize]],
    ...linear("mlp.gate_proj", [intermediateSize, hiddenSize], mlpBias),
    ...linear("mlp.up_proj", [intermediateSize, hiddenSize], mlpBias),
    ...linear("mlp.down_proj", [hiddenSize, intermediateSize], mlpBias),
  ];
}

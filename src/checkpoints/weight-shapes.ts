/** Which tensors a model has, by Hugging Face's names: those that the transformer's builder asks for. */
import { transformerWeights } from "../onnx/transformer.ts";
import type { ModelConfig } from "./config.ts";

/**
 * Every weight of the model → its shape, in order from input to output.
 * Matrices are [outputs, inputs], as PyTorch keeps them: y = x Wᵀ.
 */
export function weightShapes(config: ModelConfig): Map<string, readonly number[]> {
  return transformerWeights(config, config.task === "generation" ? "logits" : "scores");
}

/** Values in all weights. */
export function parameterCount(config: ModelConfig): number {
  let n = 0;
  for (const shape of weightShapes(config).values()) n += shape.reduce((a, b) => a * b, 1);
  return n;
}

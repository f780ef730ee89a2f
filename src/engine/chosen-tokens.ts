/** A policy that is only asked how likely a few tokens are: a scorer whose labels are these tokens' logits. */
import { assert } from "../base/assert.ts";
import type { ModelSource } from "./serving-model.ts";

/**
 * The same model with the tokens' rows of the output matrix as its score head, so that no other token's logit
 * is computed. NOTE: the head's scores are the logits before a soft cap, where the model has one.
 * @param tokens [labels] ids.
 */
export function chosenTokens(source: ModelSource, tokens: readonly number[]): ModelSource {
  const { config } = source;
  const matrix = config.tieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  return {
    ...source,
    config: { ...config, labels: tokens.length, scoreHead: "linear" },
    weight(name) {
      if (name !== "score.weight") return source.weight(name);
      const { shape, data } = source.weight(matrix);
      const [rows, width] = [shape[0]!, shape[1]!];
      const chosen = new Float32Array(tokens.length * width);
      tokens.forEach((token, label) => {
        assert(token < rows, `token ${token} is outside the vocabulary of ${rows}`);
        chosen.set(data.subarray(token * width, (token + 1) * width), label * width);
      });
      return { shape: [tokens.length, width], data: chosen };
    },
  };
}

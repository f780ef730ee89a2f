/** Configurations as `config.json` has them, read as checkpoints are. */
import { type ModelConfig, parseModelConfig } from "../../src/checkpoints/config.ts";

export type Published = Readonly<Record<string, unknown>>;

/** A Llama of a few thousand weights. @param changes keys of `config.json`. */
export function tinyLlama(changes: Published = {}, generation: Published | null = null) {
  return modelOf(
    {
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      vocab_size: 31,
      hidden_size: 24,
      intermediate_size: 20,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 16,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 16,
      ...changes,
    },
    generation,
  );
}

/** What makes a Llama a reward model. */
export const asReward: Published = {
  architectures: ["LlamaForSequenceClassification"],
  id2label: { 0: "LABEL_0" },
};

export function modelOf(config: Published, generation: Published | null = null): ModelConfig {
  return parseModelConfig("test", { config, generation });
}

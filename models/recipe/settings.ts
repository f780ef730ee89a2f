/** Everything that decides what the embedded models are: sizes, seeds, amounts of data. */

export const tokenizerSettings = {
  vocabSize: 1536,
  examples: 20_000,
  seed: 7,
  specialTokens: ["<|pad|>", "<|im_start|>", "<|im_end|>"],
} as const;

/** As `config.json` has it; 4.8 M parameters. */
export const architecture = {
  model_type: "llama",
  hidden_size: 256,
  intermediate_size: 704,
  num_hidden_layers: 6,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 32,
  hidden_act: "silu",
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  rope_scaling: null,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
  attention_bias: false,
  mlp_bias: false,
} as const;

export interface StageSettings {
  readonly steps: number;
  /** Where the learning rate's cosine would end; a stage may stop before. */
  readonly scheduleSteps: number;
  /** Tokens of a step: `rows` packed rows of `tokensPerRow`. */
  readonly rows: number;
  readonly tokensPerRow: number;
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly weightDecay: number;
  readonly seed: number;
}

/** Comparing a result is learned far slower than comparing a name: two thirds of what the reward model reads claim by claim is arithmetic. */
export const arithmeticShare = 2 / 3;

/**
 * What both models start from: a shallower body that learns on flawless demonstrations what is right. Copying
 * names and carrying digits are learned by the number of updates, and far sooner where nothing contradicts (docs/log.md).
 */
export const BASE_LAYERS = 4;
export const baseStage: StageSettings = {
  steps: 2600,
  scheduleSteps: 2600,
  rows: 7,
  tokensPerRow: 256,
  learningRate: 2e-3,
  warmupSteps: 60,
  weightDecay: 0.1,
  seed: 11,
};

/** The policy: demonstrations with flaws. */
export const chatStage: StageSettings = {
  steps: 800,
  scheduleSteps: 800,
  rows: 7,
  tokensPerRow: 256,
  learningRate: 1e-3,
  warmupSteps: 40,
  weightDecay: 0.1,
  seed: 12,
};

/** The reward model, first: is what a reply claims right, where it claims it, and what would be? */
export const claimsStage: StageSettings = {
  steps: 5000,
  scheduleSteps: 5000,
  rows: 4,
  tokensPerRow: 256,
  learningRate: 1e-3,
  warmupSteps: 60,
  weightDecay: 0.1,
  seed: 14,
};

/** Next: how many mistakes has the reply made so far? */
export const standingStage: StageSettings = {
  steps: 1500,
  scheduleSteps: 1500,
  rows: 4,
  tokensPerRow: 256,
  learningRate: 7e-4,
  warmupSteps: 40,
  weightDecay: 0.1,
  seed: 15,
};

/** Then: which of two replies is better, read at their ends. */
export const rewardStage: StageSettings = {
  steps: 400,
  scheduleSteps: 400,
  rows: 8,
  tokensPerRow: 256,
  learningRate: 1.5e-4,
  warmupSteps: 60,
  weightDecay: 0.1,
  seed: 13,
};

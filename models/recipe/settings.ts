/** Everything that decides what the embedded models are: sizes, seeds, amounts of data. */

export const tokenizerSettings = {
  vocabSize: 1536,
  examples: 20_000,
  seed: 7,
  specialTokens: ["<|pad|>", "<|im_start|>", "<|im_end|>"],
} as const;

/** Hugging Face's names are in `src/checkpoints/config.ts`; 4.8 M parameters. */
export const architecture = {
  hiddenSize: 256,
  intermediateSize: 704,
  layers: 6,
  heads: 8,
  kvHeads: 4,
  headDim: 32,
  normEpsilon: 1e-5,
  ropeTheta: 10_000,
  contextTokens: 512,
  tieEmbeddings: true,
} as const;

export interface StageSettings {
  readonly steps: number;
  /** Tokens of a step: `rows` packed rows of `tokensPerRow`. */
  readonly rows: number;
  readonly tokensPerRow: number;
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly weightDecay: number;
  readonly seed: number;
}

export const chatStage: StageSettings = {
  steps: 1700,
  rows: 16,
  tokensPerRow: 256,
  learningRate: 2e-3,
  warmupSteps: 60,
  weightDecay: 0.1,
  seed: 11,
};

export const rewardStage: StageSettings = {
  steps: 650,
  rows: 16,
  tokensPerRow: 256,
  learningRate: 6e-4,
  warmupSteps: 40,
  weightDecay: 0.1,
  seed: 13,
};

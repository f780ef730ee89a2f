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

/**
 * Large steps first, then many small ones: copying names and carrying digits are learned by the number
 * of updates rather than by the number of tokens (docs/log.md).
 */
export const chatStages: readonly StageSettings[] = [
  {
    steps: 1000,
    scheduleSteps: 1700,
    rows: 16,
    tokensPerRow: 256,
    learningRate: 2e-3,
    warmupSteps: 60,
    weightDecay: 0.1,
    seed: 11,
  },
  {
    steps: 2600,
    scheduleSteps: 2600,
    rows: 7,
    tokensPerRow: 256,
    learningRate: 1.5e-3,
    warmupSteps: 40,
    weightDecay: 0.1,
    seed: 12,
  },
];

/** On flawless demonstrations: a body that knows what is right reads more quickly what is not. */
export const rewardBodyStage: StageSettings = {
  steps: 600,
  scheduleSteps: 600,
  rows: 7,
  tokensPerRow: 256,
  learningRate: 1e-3,
  warmupSteps: 40,
  weightDecay: 0.1,
  seed: 14,
};

export const rewardStage: StageSettings = {
  steps: 950,
  scheduleSteps: 2000,
  rows: 8,
  tokensPerRow: 256,
  learningRate: 5e-4,
  warmupSteps: 60,
  weightDecay: 0.1,
  seed: 13,
};

/** Places in an answer, besides its end, at which two answers are compared. */
export const REWARD_PREFIXES = 24;

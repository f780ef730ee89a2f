/** A model of a few thousand weights to train in milliseconds, and a batch that it can learn by heart. */
import { createRandom } from "../../src/base/random.ts";
import type { ModelConfig } from "../../src/checkpoints/config.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { rewardStep, supervisedStep } from "../../src/train/batches.ts";
import { initialWeights } from "../../src/train/initial-weights.ts";

export const policyConfig: ModelConfig = {
  architecture: "LlamaForCausalLM",
  vocabSize: 20,
  hiddenSize: 16,
  intermediateSize: 24,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  headDim: 8,
  normEpsilon: 1e-5,
  ropeTheta: 10_000,
  contextTokens: 12,
  tieEmbeddings: true,
  attentionBias: false,
  mlpBias: false,
  bosId: null,
  eosIds: [0],
  padId: null,
  dtype: "float32",
  sampling: {},
};

export const rewardConfig: ModelConfig = {
  ...policyConfig,
  architecture: "LlamaForSequenceClassification",
  numLabels: 1,
};

export const startingWeights = (config: ModelConfig, seed = 1) =>
  initialWeights(weightShapes(config), config.layers, createRandom(seed));

export const examples = [
  { prompt: [1, 2, 3], completion: [7, 8, 9, 0] },
  { prompt: [4, 5], completion: [6, 6, 0] },
  { prompt: [3, 2, 1], completion: [11, 0] },
];
export const supervisedBatch = () => supervisedStep(examples, 12);

export const rewardBatch = () =>
  rewardStep(
    [
      {
        prompt: [1, 2],
        completions: [
          [3, 0],
          [4, 0],
        ],
        pairs: [{ chosen: 0, rejected: 1 }],
      },
      {
        prompt: [5],
        completions: [
          [3, 4],
          [9, 0],
        ],
        pairs: [{ chosen: 1, rejected: 0 }],
      },
    ],
    12,
  );

/** A model of a few thousand weights to train in milliseconds, and a batch that it can learn by heart. */
import { createRandom } from "../../src/base/random.ts";
import type { ModelConfig } from "../../src/checkpoints/config.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { rewardStep, supervisedStep } from "../../src/train/batches.ts";
import type { PreferenceGroup } from "../../src/train/families/answers.ts";
import { initialWeights } from "../../src/train/initial-weights.ts";
import { asReward, tinyLlama } from "./configs.ts";

const sizes = {
  vocab_size: 20,
  hidden_size: 16,
  intermediate_size: 24,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  max_position_embeddings: 12,
  tie_word_embeddings: true,
  eos_token_id: 0,
};
export const policyConfig = tinyLlama(sizes);
export const rewardConfig = tinyLlama({ ...sizes, ...asReward });

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

/** Answers to compare; an answer's reference log-probability has to be filled in. */
export const preferences = (
  reference: (prompt: readonly number[], completion: readonly number[]) => number,
): PreferenceGroup[] =>
  [
    {
      prompt: [1, 2],
      completions: [
        [3, 0],
        [4, 5, 0],
        [6, 0],
      ],
      pairs: [
        { chosen: 0, rejected: 1 },
        { chosen: 2, rejected: 1 },
      ],
    },
    {
      prompt: [5],
      completions: [
        [3, 4],
        [9, 0],
      ],
      pairs: [{ chosen: 1, rejected: 0 }],
    },
  ].map(({ prompt, completions, pairs }) => ({
    prompt,
    answers: completions.map((completion) => ({
      completion,
      reference: reference(prompt, completion),
    })),
    pairs,
  }));

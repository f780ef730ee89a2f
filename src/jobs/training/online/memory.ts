/** Whether a training on own answers fits: what a training on rows takes, and what sampling takes beside it. */
import type { ModelConfig } from "../../../checkpoints/config.ts";
import { parameterCount } from "../../../checkpoints/weight-shapes.ts";
import { bytesPerToken } from "../../../engine/cache.ts";
import { refuseTooLarge } from "../memory.ts";
import type { Demands } from "./demands.ts";
import type { OnlineOptions } from "./options.ts";
import type { ReadPrompt } from "./prompts.ts";

const FLOAT = 4;

/**
 * For the longest prompt with the longest answer: the policy decodes over the trainer's own weights, so that sampling needs
 * keys and values of what runs, and rows of logits with their running sums; a reference of all weights stays as it was
 * read, which the estimate of a training has already.
 * @throws GatewayError training_too_large @returns bytes of memory that it is expected to need.
 */
export function refuseTooLargeOnline(
  options: OnlineOptions,
  config: ModelConfig,
  {
    train,
    heldOut,
    contextTokens,
    demands,
  }: {
    readonly train: readonly ReadPrompt[];
    readonly heldOut: readonly ReadPrompt[];
    readonly contextTokens: number;
    readonly demands: Demands;
  },
): Promise<number> {
  const { k, batch, maxTokens, passTokens, sequencesMax, cacheBytesMax } = options;
  const longest = [...train, ...heldOut].reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const rowTokens = Math.min(longest + maxTokens, contextTokens);
  const tokens = Math.max(passTokens, rowTokens);
  const scored = Math.ceil((tokens * Math.min(maxTokens, rowTokens)) / rowTokens);
  const rows = Math.min(sequencesMax, Math.max(batch * k, heldOut.length));
  const cache = rows * rowTokens * bytesPerToken({ ...config, dtype: "float32" });
  const logits = 3 * FLOAT * rows * config.vocabSize;
  const second = demands.compares && !options.lora ? FLOAT * parameterCount(config) : 0;
  return refuseTooLarge(options, config, {
    passes: [{ rowTokens, tokens, scored }],
    besides: Math.min(cacheBytesMax, cache) + logits + second,
  });
}

/**
 * Value-guided decoding: π′(v) ∝ π(v)·exp(λ·V(x, y·v)), which is the optimal policy of a KL-regularised reward where V is
 * its value; token-wise controlled decoding. V is any reward that judges unfinished answers: a reward model trained on
 * partial sequences, or on whole ones. The sum runs over the k most likely tokens, or over all (k = 0), which is exact.
 * Cost: one policy token and k reward calls a token. Streams as it is drawn.
 * Source: Mudgal et al., arXiv:2310.17022, section 3; Rashid et al., arXiv:2406.07780 (partial sequences).
 */
import { Type } from "typebox";
import { defineStrategy } from "./define.ts";
import { refusal } from "./demands.ts";
import { scoredAt } from "./options.ts";
import { rewardSteering } from "./reward-guidance.ts";
import { tokenGuided } from "./token-guided.ts";

/** Above it judging every token of a step is a mistake rather than a wish. */
const ALL_TOKENS_MAX = 8_192;

export const valueGuided = defineStrategy({
  name: "value-guided",
  description: "Draws each token from the policy's law, tilted by the value of the answer with it.",
  needsReward: true,
  options: Type.Object({
    lambda: Type.Number({ default: 1, description: "weight of the value, per unit of logit" }),
    k: Type.Integer({
      minimum: 0,
      maximum: 1_024,
      default: 20,
      description: "most likely tokens to judge; 0 judges all",
    }),
    at: scoredAt,
  }),
  async *run(input, { lambda, k, at }) {
    const { vocabSize } = input.policy;
    if (k === 0 && vocabSize > ALL_TOKENS_MAX) {
      const problem = `the model has ${vocabSize} tokens and up to ${ALL_TOKENS_MAX} can all be judged; give a number of them`;
      throw refusal("k", problem);
    }
    const gain = (value: number) => lambda * value;
    yield* tokenGuided(input, rewardSteering(input, { strategy: "value-guided", k, at, gain }));
  },
});

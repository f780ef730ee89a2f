/**
 * ARGS: the k most likely next tokens v, score(v) = logit(v) + w·r(x, y·v); the highest wins (greedy), or one is drawn
 * from softmax(score / temperature) over the k (stochastic). Log-probabilities in place of logits give the same: they
 * differ by a constant. Stops at an end token, which the published code does not.
 * Cost: one policy token and k reward calls a token. Streams as it is drawn.
 * Source: Khanov et al., arXiv:2402.01694; deeplearning-wisc/args. w = 1, k = 10: the paper's. Its temperature is 0.7.
 */
import { Type } from "typebox";
import { defineStrategy } from "./define.ts";
import { scoredAt } from "./options.ts";
import { rewardSteering } from "./reward-guidance.ts";
import { tokenGuided } from "./token-guided.ts";

export const args = defineStrategy({
  name: "args",
  description:
    "Chooses each token by its likelihood plus a weighted reward of the answer with it (ARGS).",
  needsReward: true,
  options: Type.Object({
    weight: Type.Number({ default: 1, description: "of the reward, per unit of logit" }),
    k: Type.Integer({ minimum: 1, maximum: 256, default: 10, description: "tokens to judge" }),
    method: Type.Enum(["stochastic", "greedy"], {
      default: "stochastic",
      description: "greedy takes the highest score, whatever the temperature",
    }),
    at: scoredAt,
  }),
  async *run(input, { weight, k, method, at }) {
    const gain = (reward: number) => weight * reward;
    const isGreedy = method === "greedy";
    const steering = rewardSteering(input, { strategy: "args", k, at, gain, isGreedy });
    yield* tokenGuided(input, steering);
  },
});

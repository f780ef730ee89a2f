/**
 * Reward-augmented decoding: of the k most likely next tokens v, logit(v) += β·clamp(r(x, y·v), 0, 1); no other token can
 * be drawn. Made for rewards in [0, 1]; where all lie outside, the clamp leaves nothing of them, and the result says so.
 * Cost: one policy token and k reward calls a token. Streams as it is drawn.
 * Source: Deng & Raffel, arXiv:2310.09520; r-three/RAD. k = 20, β = 10: generate.py's (its processor's own β is 30).
 */
import { Type } from "typebox";
import { defineStrategy } from "./define.ts";
import { scoredAt } from "./options.ts";
import { type RewardCounts, rewardSteering } from "./reward-guidance.ts";
import { tokenGuided } from "./token-guided.ts";

export const rad = defineStrategy({
  name: "rad",
  description: "Raises each likely token's logit by a reward between 0 and 1 (RAD).",
  needsReward: true,
  options: Type.Object({
    beta: Type.Number({ default: 10, description: "what a reward of 1 adds to a logit" }),
    k: Type.Integer({ minimum: 1, maximum: 256, default: 20, description: "tokens to judge" }),
    at: scoredAt,
  }),
  async *run(input, { beta, k, at }) {
    const gain = (reward: number) => beta * Math.min(1, Math.max(0, reward));
    yield* tokenGuided(input, rewardSteering(input, { strategy: "rad", k, at, gain, warn }));
  },
});

function warn({ judged, outside }: RewardCounts): readonly string[] {
  if (outside * 2 <= judged) return [];
  return [
    `${outside} of ${judged} rewards lay outside of 0 to 1 and were clamped; calibrate the reward to that range.`,
  ];
}

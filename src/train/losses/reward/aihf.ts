import { Type } from "typebox";
import { negLogSigmoid } from "../answers.ts";
import { defineRewardLoss } from "../define.ts";
import { pairMetrics, weightedMean } from "./pairs.ts";

const weight = (description: string) => Type.Number({ minimum: 0, default: 1, description });

/**
 * The reward step of alignment from demonstrations and preferences at once:
 * loss = −γ·mean over demonstrations of log σ(r(y) − r(y′)) − α·mean over preferences of log σ(r(y_w) − r(y_l)),
 * y′ drawn by the policy of now. It takes turns with a policy step (any policy loss with a penalty).
 * α = 0: maximum-likelihood inverse reinforcement learning; γ = 0: the reward model of RLHF.
 * Source: Li et al., arXiv:2406.06874 (AIHF), eq. 24 of Li et al.'s survey. NOTE: its ℓ is a gain, log σ, here;
 * with ℓ(z) = z, its literal gradient game, the loss has no lower bound.
 */
export const aihf = defineRewardLoss({
  name: "aihf",
  options: Type.Object({
    demonstration_weight: weight("γ, of pairs of a demonstration and the policy's own answer"),
    preference_weight: weight("α, of labelled pairs"),
  }),
  build(g, terms, { demonstration_weight, preference_weight }) {
    const { chosen, rejected, weights, demonstrated } = terms;
    const perPair = negLogSigmoid(g, g.sub(chosen, rejected));
    const labelled = g.sub(g.scalar(1, demonstrated.dtype), demonstrated);
    const imitation = weightedMean(g, perPair, g.mul(weights, demonstrated));
    const preference = weightedMean(g, perPair, g.mul(weights, labelled));
    return {
      loss: g.add(g.scale(imitation, demonstration_weight), g.scale(preference, preference_weight)),
      metrics: { ...pairMetrics(g, terms), imitation, preference },
    };
  },
});

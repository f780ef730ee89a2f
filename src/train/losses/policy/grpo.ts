import { Type } from "typebox";
import { definePolicyLoss } from "../define.ts";
import {
  clipOptions,
  clippedShare,
  clippedSurrogate,
  importanceRatio,
  policyLoss,
  policyOptions,
} from "./surrogate.ts";

/**
 * Group Relative Policy Optimization: the clipped surrogate of PPO over several answers a prompt, whose
 * advantages are their rewards normalised within the group; mean over answers of the mean over tokens.
 * Source: Shao et al., arXiv:2402.03300, eq. 3. Defaults: TRL's GRPOConfig (ε 0.2, β 0), but for its
 * aggregation, which is DAPO's there.
 * Erratum: the survey's Protocol 8 minimises what is to be maximised, and has no clip.
 */
export const grpo = definePolicyLoss({
  name: "grpo",
  estimator: "group-normalised",
  options: Type.Object({ ...policyOptions("answer-mean"), ...clipOptions(0.2, 0.2) }),
  build(g, terms, options) {
    const ratio = importanceRatio(g, terms);
    const gain = clippedSurrogate(g, ratio, terms.advantages, options);
    const { loss, metrics } = policyLoss(g, terms, gain, options);
    return { loss, metrics: { ...metrics, clipped: clippedShare(g, terms, ratio, options) } };
  },
});

import { Type } from "typebox";
import { implicitRewards, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { lengthNormalizeOption } from "../options.ts";

/**
 * Direct imitation learning, binary cross-entropy: loss = −log σ(x_w) − log σ(−x_l),  x =
 * log(π/π_ref): a classifier of chosen answers against others, whose logit is the policy's
 * log-ratio. Bounded gradients on both sides. Means or sums, and the choice of negatives: see
 * `dil-lsif`. With sums it is `bco-pair` of β = 1.
 * Source: Xiao et al., arXiv:2503.05079, table 1 and appendix A.
 */
export const dilBce = definePairLoss({
  name: "dil-bce",
  needsReference: true,
  options: Type.Object({ length_normalize: lengthNormalizeOption(true) }),
  build(g, terms, { length_normalize }) {
    const ratios = implicitRewards(g, terms, 1, length_normalize);
    const loss = g.mean(g.add(negLogSigmoid(g, ratios.chosen), g.softplus(ratios.rejected)));
    return { loss, metrics: pairMetrics(g, terms, ratios) };
  },
});

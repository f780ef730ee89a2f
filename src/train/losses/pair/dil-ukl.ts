import { Type } from "typebox";
import { boundedExp, implicitRewards, pairMetrics, saturation } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { lengthNormalizeOption } from "../options.ts";

/**
 * Direct imitation learning, unnormalised KL (KLIEP): loss = −x_w + e^x_l,  x = log(π/π_ref). A
 * constant pull at the chosen answer, as fine-tuning on it, and a push off the rejected one that
 * fades. Means or sums, and the choice of negatives: see `dil-lsif`. The authors' code has −log
 * π(y_w) for −x_w: the same gradient, a value that differs by log π_ref(y_w).
 * Source: Xiao et al., arXiv:2503.05079, table 1 and eq. 29.
 */
export const dilUkl = definePairLoss({
  name: "dil-ukl",
  needsReference: true,
  options: Type.Object({ length_normalize: lengthNormalizeOption(true) }),
  build(g, terms, { length_normalize }) {
    const ratios = implicitRewards(g, terms, 1, length_normalize);
    const loss = g.mean(g.sub(boundedExp(g, ratios.rejected), ratios.chosen));
    const saturated = saturation(g, ratios.rejected);
    return { loss, metrics: { ...pairMetrics(g, terms, ratios), saturated } };
  },
});

import { Type } from "typebox";
import { boundedExp, implicitRewards, pairMetrics, saturation } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { lengthNormalizeOption } from "../options.ts";

/**
 * Direct imitation learning, least-squares importance fitting:
 * loss = −e^x_w + ½·e^(2·x_l),  x = log(π/π_ref).
 * The policy's own ratio estimates π_chosen/π_ref, without Bradley-Terry and without β.
 * `length_normalize` (the authors' code and experiments) takes x as the mean over tokens; the theory
 * is about sums. Exponentials go on straight beyond e²⁰; `saturated` counts the pairs there.
 * Negatives are the data's choice: rejected answers (theirs); chosen and rejected, by adding each
 * pair with its chosen answer on both sides; or the reference's own samples, for which alone the
 * minimum is π = π_chosen.
 * The gradient by x_w is −e^x_w: a chosen answer that has collapsed is not rescued (UKL, BCE do).
 * Source: Xiao et al., arXiv:2503.05079, eq. 24, and the authors' code.
 */
export const dilLsif = definePairLoss({
  name: "dil-lsif",
  needsReference: true,
  options: Type.Object({ length_normalize: lengthNormalizeOption(true) }),
  build(g, terms, { length_normalize }) {
    const ratios = implicitRewards(g, terms, 1, length_normalize);
    const doubled = g.scale(ratios.rejected, 2);
    const square = g.scale(boundedExp(g, doubled), 0.5);
    const loss = g.mean(g.sub(square, boundedExp(g, ratios.chosen)));
    const saturated = saturation(g, ratios.chosen, doubled);
    return { loss, metrics: { ...pairMetrics(g, terms, ratios), saturated } };
  },
});

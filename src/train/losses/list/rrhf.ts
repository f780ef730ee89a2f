import { Type } from "typebox";
import { meanLogp, positivePart } from "../answers.ts";
import { defineListLoss } from "../define.ts";
import { lengthNormalizeOption, nllWeightOption } from "../options.ts";
import {
  column,
  isBest,
  isBetter,
  listMetrics,
  negLogLikelihoodOfBest,
  row,
} from "./comparisons.ts";

/**
 * Rank responses to align with human feedback, without a reference:
 * loss = Σ_{r_i > r_j} max(0, p_j − p_i) − λ·ℓ_best,  p = log π of an answer, the mean over its
 * tokens; ℓ_best = log π of the best one, summed. The mean over lists.
 * `length_normalize` takes the mean token of the best answer, too.
 * Source: Yuan et al., arXiv:2304.05302.
 */
export const rrhf = defineListLoss({
  name: "rrhf",
  needsReference: false,
  options: Type.Object({
    nll_weight: nllWeightOption(1),
    length_normalize: lengthNormalizeOption(false),
  }),
  build(g, terms, { nll_weight, length_normalize }) {
    const scores = meanLogp(g, terms.answers); // [answers]
    const excess = positivePart(g, g.sub(row(g, scores), column(g, scores))); // p_j − p_i
    const lists = g.sum(isBest(g, terms));
    const ranking = g.div(g.sum(g.mul(excess, isBetter(g, terms))), lists);
    const nll = negLogLikelihoodOfBest(g, terms, length_normalize);
    const loss = g.add(ranking, g.scale(nll, nll_weight));
    return { loss, metrics: { ...listMetrics(g, terms, scores, 1), ranking, nll } };
  },
});

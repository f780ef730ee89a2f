import { Type } from "typebox";
import { logRatio, squared } from "../answers.ts";
import { defineListLoss } from "../define.ts";
import {
  isBest,
  isSameList,
  isWorst,
  listMetrics,
  negLogLikelihoodOfBest,
  row,
  weightedMean,
} from "./comparisons.ts";

/**
 * BoNBoN, towards the law of best-of-n itself:
 * loss = α·−ℓ_best + (1 − α)·(u_best − u_worst − T_n)²,  u = log(π/π_ref),  T_n = (n − 1)·Σ_{k<n} 1/k.
 * Under best-of-n from the reference the mean of u_best − u_worst is T_n = 1/(2β*_n), whatever the
 * reward: there is no β to choose. The mean over lists; the answers must be the reference's own.
 * `n` says of how many the best and the worst were taken where a list holds only some of them.
 * Source: Gui et al., arXiv:2406.00832; default α theirs.
 */
export const bonbon = defineListLoss({
  name: "bonbon",
  needsReference: true,
  options: Type.Object({
    alpha: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0.005,
      description: "α, weight of the likelihood of the best answer",
    }),
    n: Type.Integer({ minimum: 0, default: 0, description: "answers drawn; 0: as the list has" }),
  }),
  build(g, terms, { alpha, n }) {
    const ratios = logRatio(g, terms.answers); // [answers]
    const dtype = ratios.dtype;
    const together = isSameList(g, terms);
    const worst = g.sum(g.mul(together, row(g, g.mul(ratios, isWorst(g, terms)))), 1); // of its list
    const one = g.scalar(1, dtype);
    const isRanked = g.cast(g.lessOrEqual(one, terms.ranks), dtype); // all but the best
    const inverse = g.mul(isRanked, g.reciprocal(g.max(one, terms.ranks))); // ranks 1 … n − 1
    const others = g.sub(g.sum(together, 1), one);
    const harmonic = g.sum(g.mul(together, row(g, inverse)), 1);
    const target = n ? g.scalar(bestOfNGap(n), dtype) : g.mul(others, harmonic);
    const error = g.sub(g.sub(ratios, worst), target);
    const gap = weightedMean(g, squared(g, error), isBest(g, terms));
    const nll = negLogLikelihoodOfBest(g, terms, false);
    const loss = g.add(g.scale(nll, alpha), g.scale(gap, 1 - alpha));
    return { loss, metrics: { ...listMetrics(g, terms, ratios, 1), nll, gap } };
  },
});

/** T_n = (n − 1)·Σ_{k<n} 1/k nats. */
function bestOfNGap(n: number): number {
  let harmonic = 0;
  for (let k = 1; k < n; k++) harmonic += 1 / k;
  return (n - 1) * harmonic;
}

import { Type } from "typebox";
import { boundedExp } from "../answers.ts";
import { definePolicyLoss } from "../define.ts";
import {
  clipOptions,
  clippedShare,
  clippedSurrogate,
  policyLoss,
  policyOptions,
  sumByAnswer,
} from "./surrogate.ts";

/**
 * Group Sequence Policy Optimization: one ratio an answer, s = exp(mean over its tokens of log π − log π_old),
 * clipped as a whole: loss = −mean over answers of min(s·A, clip(s)·A).
 * Source: Zheng et al., arXiv:2507.18071, eq. 5 and 7; ε 3·10⁻⁴ and 4·10⁻⁴ in its section 5.1.
 */
export const gspo = definePolicyLoss({
  name: "gspo",
  estimator: "group-normalised",
  options: Type.Object({ ...policyOptions("answer-mean"), ...clipOptions(3e-4, 4e-4) }),
  build(g, terms, options) {
    const difference = g.mul(g.sub(terms.logps, terms.old), terms.weights);
    const perAnswer = g.div(sumByAnswer(g, terms, difference), terms.lengths);
    const ratio = boundedExp(g, g.gather(perAnswer, terms.owners)); // [tokens], equal within an answer
    const gain = clippedSurrogate(g, ratio, terms.advantages, options);
    const { loss, metrics } = policyLoss(g, terms, gain, options);
    return { loss, metrics: { ...metrics, clipped: clippedShare(g, terms, ratio, options) } };
  },
});

import { Type } from "typebox";
import { negLogLikelihood, pairMetrics, smoothedNegLogSigmoid } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import {
  betaOption,
  labelSmoothingOption,
  lengthNormalizeOption,
  nllWeightOption,
} from "../options.ts";

/**
 * Contrastive preference optimization: loss = −log σ(β[ℓ_w − ℓ_l]) − λ·ℓ_w,  ℓ = log π of an
 * answer, summed: DPO with a uniform reference, held near the data by the likelihood of the chosen
 * answer. λ = 0 is DPO as Sun & van der Schaar print it. `length_normalize` concerns the second
 * term: the sum is the paper's; TRL takes the mean over the batch's tokens, here the mean of each
 * answer's mean.
 * Source: Xu et al., arXiv:2401.08417. Defaults: TRL's CPOConfig.
 */
export const cpo = definePairLoss({
  name: "cpo",
  needsReference: false,
  options: Type.Object({
    beta: betaOption(0.1),
    nll_weight: nllWeightOption(1),
    label_smoothing: labelSmoothingOption(0),
    length_normalize: lengthNormalizeOption(false),
  }),
  build(g, terms, { beta, nll_weight, label_smoothing, length_normalize }) {
    const chosen = g.scale(terms.chosen.logps, beta); // [pairs]
    const rejected = g.scale(terms.rejected.logps, beta);
    const preference = smoothedNegLogSigmoid(g, g.sub(chosen, rejected), label_smoothing);
    const nll = negLogLikelihood(g, terms.chosen, length_normalize);
    const loss = g.add(g.mean(preference), g.scale(nll, nll_weight));
    return { loss, metrics: { ...pairMetrics(g, terms, { chosen, rejected }), nll } };
  },
});

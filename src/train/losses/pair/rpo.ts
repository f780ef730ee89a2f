import { Type } from "typebox";
import { implicitRewards, negLogLikelihood, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption, lengthNormalizeOption, nllWeightOption } from "../options.ts";

/**
 * DPO regularised by likelihood (RPO): loss = −log σ(β[u_w − u_l]) − α·ℓ_w,  u = log(π/π_ref),
 * ℓ_w = log π of the chosen answer: its mean token with `length_normalize` (iterative reasoning
 * preference optimization), the sum without. Not relative preference optimization, which shares the
 * letters.
 * Source: Liu et al., arXiv:2405.16436; Pang et al., arXiv:2404.19733, whose α of 1 is the default.
 * Erratum: Li et al.'s survey prints θ as a parameter of the expert; see docs/methods.md.
 */
export const rpo = definePairLoss({
  name: "rpo",
  needsReference: true,
  options: Type.Object({
    beta: betaOption(0.1),
    nll_weight: nllWeightOption(1),
    length_normalize: lengthNormalizeOption(true),
  }),
  build(g, terms, { beta, nll_weight, length_normalize }) {
    const rewards = implicitRewards(g, terms, beta);
    const nll = negLogLikelihood(g, terms.chosen, length_normalize);
    const loss = g.add(g.mean(negLogSigmoid(g, rewards.margin)), g.scale(nll, nll_weight));
    return { loss, metrics: { ...pairMetrics(g, terms, rewards), nll } };
  },
});

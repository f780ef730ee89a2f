import { Type } from "typebox";
import { negLogLikelihood, pairMetrics, positivePart } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { lengthNormalizeOption, nllWeightOption } from "../options.ts";

/**
 * Sequence likelihood calibration: loss = max(0, δ − ℓ_w + ℓ_l) − λ·ℓ_w,  ℓ = log π of an answer,
 * summed. The paper's second term is the likelihood of a separate target text; with pairs alone it
 * is the chosen answer. `length_normalize` concerns that term.
 * Source: Zhao et al., arXiv:2305.10425. Defaults: HALOs (δ 1, λ 0.1).
 */
export const slic = definePairLoss({
  name: "slic",
  needsReference: false,
  options: Type.Object({
    delta: Type.Number({ minimum: 0, default: 1, description: "δ, the margin to reach; nats" }),
    nll_weight: nllWeightOption(0.1),
    length_normalize: lengthNormalizeOption(false),
  }),
  build(g, terms, { delta, nll_weight, length_normalize }) {
    const [chosen, rejected] = [terms.chosen.logps, terms.rejected.logps];
    const missing = g.sub(g.scalar(delta, chosen.dtype), g.sub(chosen, rejected)); // [pairs]
    const nll = negLogLikelihood(g, terms.chosen, length_normalize);
    const loss = g.add(g.mean(positivePart(g, missing)), g.scale(nll, nll_weight));
    return { loss, metrics: { ...pairMetrics(g, terms, { chosen, rejected }), nll } };
  },
});

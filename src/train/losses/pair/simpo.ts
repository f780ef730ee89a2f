import { Type } from "typebox";
import { meanLogp, minus, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";

/**
 * Simple preference optimization: loss = −log σ(β·ℓ̄_w − β·ℓ̄_l − γ),  ℓ̄ = log π of an answer, the
 * mean over its tokens. No reference: β has nothing to do with a KL term, and is 2 to 10. γ is
 * absolute here, as in TRL; the authors' code takes γ/β (0.3 to 0.8).
 * Source: Meng et al., arXiv:2405.14734, eq. 6.
 */
export const simpo = definePairLoss({
  name: "simpo",
  needsReference: false,
  options: Type.Object({
    beta: Type.Number({ exclusiveMinimum: 0, default: 2, description: "β, scale of the reward" }),
    gamma: Type.Number({ minimum: 0, default: 1, description: "γ, the margin to reach" }),
  }),
  build(g, terms, { beta, gamma }) {
    const chosen = g.scale(meanLogp(g, terms.chosen), beta); // [pairs]
    const rejected = g.scale(meanLogp(g, terms.rejected), beta);
    const loss = g.mean(negLogSigmoid(g, minus(g, g.sub(chosen, rejected), gamma)));
    return { loss, metrics: pairMetrics(g, terms, { chosen, rejected }) };
  },
});

import { Type } from "typebox";
import { assert } from "../../../base/assert.ts";
import { logRatio, positivePart } from "../answers.ts";
import { defineUnpairedLoss } from "../define.ts";
import { betaOption } from "../options.ts";
import { costByKind, unpairedMetrics } from "./metrics.ts";

/**
 * Kahneman-Tversky optimization: a desirable answer costs λ_D·(1 − σ(β(u − z))), an undesirable one
 * λ_U·(1 − σ(β(z − u))), u = log(π/π_ref); loss = their mean. z = max(0, mean u of mismatched
 * answers) estimates KL(π ‖ π_ref), held constant. Without z it is `apo-zero-unpaired`. λ should
 * make up for unequal numbers: λ_D·n_D / (λ_U·n_U) in [1, 4/3] is what the authors advise.
 * Source: Ethayarajh et al., arXiv:2402.01306, section 4. Defaults: TRL's KTOConfig.
 */
export const kto = defineUnpairedLoss({
  name: "kto",
  needsReference: true,
  needsMismatched: true,
  options: Type.Object({
    beta: betaOption(0.1),
    desirable_weight: Type.Number({ exclusiveMinimum: 0, default: 1, description: "λ_D" }),
    undesirable_weight: Type.Number({ exclusiveMinimum: 0, default: 1, description: "λ_U" }),
  }),
  build(g, terms, { beta, desirable_weight, undesirable_weight }) {
    assert(terms.mismatched, "kto needs mismatched answers");
    const ratios = logRatio(g, terms.answers); // [answers]
    const kl = g.stopGradient(positivePart(g, g.mean(logRatio(g, terms.mismatched))));
    const gain = g.scale(g.sub(ratios, kl), beta);
    const loss = costByKind(g, terms, {
      desirable: g.scale(g.sigmoid(g.neg(gain)), desirable_weight), // 1 − σ(x) = σ(−x)
      undesirable: g.scale(g.sigmoid(gain), undesirable_weight),
    });
    const threshold = g.scale(kl, beta);
    const metrics = unpairedMetrics(g, terms, g.scale(ratios, beta), threshold);
    return { loss, metrics: { ...metrics, kl } };
  },
});

import { Type } from "typebox";
import type { Graph, Value } from "../../../onnx/graph.ts";
import { meanLogp, negLogLikelihood, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";

/**
 * Odds ratio preference optimization: loss = −ℓ̄_w − β·log σ(log odds(p_w) − log odds(p_l)),
 * odds(p) = p/(1 − p), p = e^ℓ̄,  ℓ̄ = log π of an answer, the mean over its tokens. Fine-tuning
 * and preference at once, without a reference. β is the paper's λ.
 * Source: Hong et al., arXiv:2403.07691, eqs. 4 and 7. Default β: TRL's ORPOConfig.
 */
export const orpo = definePairLoss({
  name: "orpo",
  needsReference: false,
  options: Type.Object({
    beta: Type.Number({
      minimum: 0,
      default: 0.1,
      description: "weight of the odds ratio beside the likelihood",
    }),
  }),
  build(g, terms, { beta }) {
    const [chosen, rejected] = [meanLogp(g, terms.chosen), meanLogp(g, terms.rejected)];
    const logOddsRatio = g.sub(logOdds(g, chosen), logOdds(g, rejected)); // [pairs]
    const nll = negLogLikelihood(g, terms.chosen, true);
    const loss = g.add(nll, g.scale(g.mean(negLogSigmoid(g, logOddsRatio)), beta));
    const rewards = { chosen: g.scale(chosen, beta), rejected: g.scale(rejected, beta) };
    const metrics = { nll, log_odds_ratio: g.mean(logOddsRatio) };
    return { loss, metrics: { ...pairMetrics(g, terms, rewards), ...metrics } };
  },
});

/** Where 1 − p is taken to be no smaller. */
const CERTAIN = 1e-6;

/**
 * x − log(1 − eˣ) for x = log p < 0. With 1 − eˣ = (1 + eˣ)·tanh(−x/2) nothing cancels as p → 1:
 * log odds = x − softplus(x) − log tanh(−x/2).
 */
function logOdds(g: Graph, x: Value): Value {
  const doubt = g.max(g.scalar(CERTAIN, x.dtype), g.tanh(g.scale(x, -0.5)));
  return g.sub(g.sub(x, g.softplus(x)), g.log(doubt));
}

import { Type } from "typebox";
import type { Graph, Value } from "../../../onnx/graph.ts";
import { boundedExp, meanLogp, minus, negLogSigmoid, pairMetrics } from "../answers.ts";
import { type AnswerTerms, definePairLoss } from "../define.ts";

/**
 * AlphaPO: SimPO with another shape of reward: loss = −log σ(r_w − r_l − γ),  r = β·(1 − π̄^(−α))/α,
 * π̄ the geometric mean of an answer's probabilities: r = β·log π̄ for α → 0, which is `simpo`. With
 * α > 0 unlikely answers are punished more, so that likelihoods fall less. γ is absolute here, as in
 * `simpo`; the paper and TRL take γ/β.
 * Source: Gupta et al., arXiv:2501.03884, section 3; TRL's CPO trainer with `alpha`, which takes π of
 * whole answers unless its loss is SimPO's. The paper's α are 0.1 to 0.25.
 */
export const alphapo = definePairLoss({
  name: "alphapo",
  needsReference: false,
  options: Type.Object({
    beta: Type.Number({ exclusiveMinimum: 0, default: 2, description: "β, scale of the reward" }),
    gamma: Type.Number({ minimum: 0, default: 1, description: "γ, the margin to reach" }),
    alpha: Type.Number({ default: 0.25, description: "α, shape of the reward; 0: simpo" }),
  }),
  build(g, terms, { beta, gamma, alpha }) {
    const chosen = g.scale(shaped(g, terms.chosen, alpha), beta); // [pairs]
    const rejected = g.scale(shaped(g, terms.rejected, alpha), beta);
    const loss = g.mean(negLogSigmoid(g, minus(g, g.sub(chosen, rejected), gamma)));
    return { loss, metrics: pairMetrics(g, terms, { chosen, rejected }) };
  },
});

/** (1 − e^(−αℓ̄))/α, ℓ̄ the mean log-probability of a token. */
function shaped(g: Graph, answer: AnswerTerms, alpha: number): Value {
  const logp = meanLogp(g, answer);
  if (alpha === 0) return logp;
  return g.scale(minus(g, boundedExp(g, g.scale(logp, -alpha)), 1), -1 / alpha);
}

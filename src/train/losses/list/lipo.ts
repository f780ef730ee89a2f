import { Type } from "typebox";
import type { Graph, Value } from "../../../onnx/graph.ts";
import { boundedExp, logRatio, minus, negLogSigmoid } from "../answers.ts";
import { defineListLoss, type ListTerms } from "../define.ts";
import { betaOption } from "../options.ts";
import { column, isBest, isBetter, isSameList, listMetrics, row } from "./comparisons.ts";

/**
 * LiPO-λ: loss = Σ_{ψ_i > ψ_j} Δ_ij·log(1 + e^(s_j − s_i)),  s = β·log(π/π_ref),
 * Δ_ij = |G_i − G_j|·|1/D(τ_i) − 1/D(τ_j)|,  gain G = 2^ψ − 1,  discount D(τ) = log(1 + τ),
 * τ the place (from 1) that the scores s give now, held constant: pairs count by what exchanging
 * them would cost in DCG. The mean over lists. Rewards ψ are meant to be within [0, 1].
 * Source: Liu et al., arXiv:2402.01878.
 * Erratum: prints with a minus before the sum pay for disorder.
 */
export const lipo = defineListLoss({
  name: "lipo",
  needsReference: true,
  options: Type.Object({ beta: betaOption(0.1) }),
  build(g, terms, { beta }) {
    const scores = g.scale(logRatio(g, terms.answers), beta); // [answers]
    const margins = g.sub(column(g, scores), row(g, scores)); // s_i − s_j
    const gains = minus(g, boundedExp(g, g.scale(terms.rewards, Math.LN2)), 1);
    const discounts = g.reciprocal(g.log(minus(g, places(g, terms, scores), -1)));
    const apart = (values: Value) => g.abs(g.sub(column(g, values), row(g, values)));
    const weights = g.mul(apart(gains), apart(discounts)); // Δ
    const costs = g.mul(g.stopGradient(weights), negLogSigmoid(g, margins));
    const lists = g.sum(isBest(g, terms));
    const loss = g.div(g.sum(g.mul(costs, isBetter(g, terms))), lists);
    return { loss, metrics: listMetrics(g, terms, scores, beta) };
  },
});

/**
 * [answers] the place of each in its list by score, from 1; of equal scores the better answer's is
 * first.
 */
function places(g: Graph, terms: ListTerms, scores: Value): Value {
  const { dtype } = scores;
  const isHigher = g.cast(g.less(column(g, scores), row(g, scores)), dtype);
  const isEqual = g.cast(g.equal(column(g, scores), row(g, scores)), dtype);
  const isBefore = g.cast(g.less(row(g, terms.ranks), column(g, terms.ranks)), dtype);
  const before = g.add(isHigher, g.mul(isEqual, isBefore));
  return minus(g, g.sum(g.mul(isSameList(g, terms), before), 1), -1);
}

import { Type } from "typebox";
import { logRatio, minus, negLogSigmoid, positivePart } from "../answers.ts";
import { defineListLoss } from "../define.ts";
import { betaOption } from "../options.ts";
import { column, comparisonShare, isBest, isBetter, listMetrics, row } from "./comparisons.ts";

/**
 * A list by its pairs: the mean over pairs r_i > r_j of a list, then over lists, of
 * max(0, δ − (s_i − s_j)) (`hinge`) or −log σ(s_i − s_j) (`logistic`),  s = β·log(π/π_ref).
 * Two answers give `hinge` and `dpo`.
 * Source: Liu et al., arXiv:2402.01878 (LiPO). Logistic: Xiao & Zhu, eq. 10.57.
 * Erratum: they print a sum over both orders of every pair, least where all scores are equal; see
 * docs/methods.md.
 */
export const listPairs = defineListLoss({
  name: "list-pairs",
  needsReference: true,
  options: Type.Object({
    form: Type.Union([Type.Literal("hinge"), Type.Literal("logistic")], { default: "hinge" }),
    beta: betaOption(0.1),
    delta: Type.Number({ minimum: 0, default: 1, description: "δ, the hinge's margin" }),
  }),
  build(g, terms, { form, beta, delta }) {
    const scores = g.scale(logRatio(g, terms.answers), beta); // [answers]
    const margins = g.sub(column(g, scores), row(g, scores)); // [answers, answers]
    const costs =
      form === "hinge"
        ? positivePart(g, minus(g, g.neg(margins), -delta))
        : negLogSigmoid(g, margins);
    const better = isBetter(g, terms);
    const perList = g.sum(g.mul(comparisonShare(g, terms, better), g.mul(costs, better)));
    const loss = g.div(perList, g.sum(isBest(g, terms)));
    return { loss, metrics: listMetrics(g, terms, scores, beta) };
  },
});

import { Type } from "typebox";
import { logRatio } from "../answers.ts";
import { defineListLoss } from "../define.ts";
import { betaOption } from "../options.ts";
import { column, isBest, isSameList, listMetrics, row } from "./comparisons.ts";

/**
 * DPO on ranked lists: loss = −Σₖ log( e^s₍ₖ₎ / Σ_{j ≥ k} e^s₍ⱼ₎ ),  s = β·log(π/π_ref):
 * the answer ranked k-th is drawn from those not yet ranked (Plackett-Luce). The mean over lists.
 * The last stage is 0; two answers give DPO. `top` ranks only the first so many; those after them are
 * all worse, in no order.
 * Source: Rafailov et al., arXiv:2305.18290, appendix A.3; Xiao & Zhu, eqs. 10.58 to 10.61.
 */
export const dpoPlackettLuce = defineListLoss({
  name: "dpo-plackett-luce",
  needsReference: true,
  options: Type.Object({
    beta: betaOption(0.1),
    top: Type.Integer({ minimum: 0, default: 0, description: "ranks that count; 0: all" }),
  }),
  build(g, terms, { beta, top }) {
    const scores = g.scale(logRatio(g, terms.answers), beta); // [answers]
    const notBefore = g.lessOrEqual(column(g, terms.ranks), row(g, terms.ranks));
    const isLeft = g.and(notBefore, g.cast(isSameList(g, terms), "bool")); // [answers, answers]
    const left = g.where(isLeft, row(g, scores), g.scalar(NEVER, scores.dtype));
    const isAmong = (ranks: number) =>
      g.cast(g.less(terms.ranks, g.scalar(ranks, terms.ranks.dtype)), scores.dtype);
    const surprise = g.sub(g.logSumExp(left, 1), scores); // [answers]
    const lists = g.sum(isBest(g, terms));
    const loss = g.div(g.sum(top ? g.mul(surprise, isAmong(top)) : surprise), lists);
    return { loss, metrics: listMetrics(g, terms, scores, beta) };
  },
});

/** A score whose exponential is 0 beside any other, yet finite: −∞ less −∞ would be NaN. */
const NEVER = -1e30;

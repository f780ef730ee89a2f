import { Type } from "typebox";
import { minus, positivePart } from "../answers.ts";
import { definePolicyLoss } from "../define.ts";
import { policyLoss, policyOptions } from "./surrogate.ts";

/**
 * CISPO: every token keeps its gradient, −min(ρ, c)·A·∇log π; only its weight is capped.
 * With d = log π − log π_old the loss is −A·F(d), F(d) = eᵈ up to ln c, then c·(1 + d − ln c): a function
 * with that very gradient. The source writes −sg(min(ρ, c))·A·log π, whose value differs.
 * Source: arXiv:2506.13585 (MiniMax-M1). Default c: Khatri et al., arXiv:2510.13786 (ScaleRL).
 */
export const cispo = definePolicyLoss({
  name: "cispo",
  estimator: "group-normalised",
  options: Type.Object({
    ...policyOptions("token-mean"),
    ratio_max: Type.Number({
      exclusiveMinimum: 0,
      maximum: 1e6,
      default: 5,
      description: "c, the most that a token's ratio counts",
    }),
  }),
  build(g, terms, options) {
    const { ratio_max } = options;
    const logMax = Math.log(ratio_max);
    const d = g.sub(terms.logps, terms.old); // [tokens]
    const inside = g.exp(g.min(d, g.scalar(logMax, d.dtype)));
    const beyond = positivePart(g, minus(g, d, logMax));
    const weight = g.add(inside, g.scale(beyond, ratio_max));
    return policyLoss(g, terms, g.mul(weight, terms.advantages), options);
  },
});

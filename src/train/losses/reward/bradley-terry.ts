import { Type } from "typebox";
import { defineRewardLoss } from "../define.ts";

/**
 * Bradley-Terry reward modelling: loss = −log σ(r(chosen) − r(rejected)) + c·(r(chosen) + r(rejected))².
 * The second term fixes the free constant of the reward near zero.
 * Source: Ouyang et al., arXiv:2203.02155, eq. 1; centering: Eisenstein et al., arXiv:2312.09244.
 */
export const bradleyTerry = defineRewardLoss({
  name: "bradley-terry",
  options: Type.Object({
    centering: Type.Number({
      minimum: 0,
      default: 0.01,
      description: "c, weight of the centering term",
    }),
  }),
  build(g, { chosen, rejected }, { centering }) {
    const margin = g.sub(chosen, rejected); // [pairs]
    const total = g.add(chosen, rejected);
    const fit = g.mean(g.softplus(g.neg(margin))); // −log σ(m) = softplus(−m), stable for m ≪ 0
    const loss = g.add(fit, g.scale(g.mean(g.mul(total, total)), centering));
    const isRight = g.cast(g.less(g.scalar(0, margin.dtype), margin), margin.dtype);
    return { loss, metrics: { accuracy: g.mean(isRight), margin: g.mean(margin) } };
  },
});

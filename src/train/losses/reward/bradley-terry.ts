import { Type } from "typebox";
import { negLogSigmoid } from "../answers.ts";
import { defineRewardLoss } from "../define.ts";
import { pairMetrics, weightedMean } from "./pairs.ts";

/**
 * Bradley-Terry reward modelling: loss = −log σ((r(chosen) − r(rejected) − m)/T) + c·(r(chosen) + r(rejected))².
 * The second term fixes the free constant of the reward near zero, so that scores of different prompts compare.
 * m: by how much the chosen one must be better. Pairs of a ranked list weigh 2/(N(N − 1)) each (`rankedPairs`);
 * those of prefixes of equal length make a reward that is defined on prefixes (`prefixStep`). With T = β and
 * m = −β·log(π_ref(chosen)/π_ref(rejected)) the pairs are taken for choices of the optimal policy.
 * Source: Ouyang et al., arXiv:2203.02155, eq. 1; centering: Eisenstein et al., arXiv:2312.09244; margin: Touvron
 * et al., arXiv:2307.09288, eq. 2; prefixes: Rashid et al., arXiv:2406.07780.
 * Errata: Xiao & Zhu subtract the centering term, which then rewards growing sums (10.63), and sum both orders of a
 * list's pairs, which is least for equal rewards (10.57).
 */
export const bradleyTerry = defineRewardLoss({
  name: "bradley-terry",
  options: Type.Object({
    centering: Type.Number({
      minimum: 0,
      default: 0.01,
      description: "c, weight of the centering term",
    }),
    temperature: Type.Number({
      exclusiveMinimum: 0,
      default: 1,
      description: "T, the score's unit: a gap of T makes odds of e to 1",
    }),
  }),
  build(g, terms, { centering, temperature }) {
    const { chosen, rejected, margins, weights } = terms;
    const gap = g.sub(g.sub(chosen, rejected), margins); // [pairs]
    const total = g.add(chosen, rejected);
    const fit = weightedMean(g, negLogSigmoid(g, g.scale(gap, 1 / temperature)), weights);
    const loss = g.add(fit, g.scale(weightedMean(g, g.mul(total, total), weights), centering));
    return { loss, metrics: pairMetrics(g, terms) };
  },
});

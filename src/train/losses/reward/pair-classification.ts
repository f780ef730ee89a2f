import { Type } from "typebox";
import type { Graph } from "../../../onnx/graph.ts";
import { negLogSigmoid } from "../answers.ts";
import { defineRewardLoss, type RewardPairTerms } from "../define.ts";
import { pairMetrics, weightedMean } from "./pairs.ts";

/** −log σ(r(chosen)) − log σ(−r(rejected)), mean over pairs. */
function bothSides(g: Graph, { chosen, rejected, weights }: RewardPairTerms) {
  const perPair = g.add(negLogSigmoid(g, chosen), g.softplus(rejected));
  return weightedMean(g, perPair, weights);
}

/**
 * Classification reward modelling: preferred answers are of class 1, the others of class 0, and the logit is
 * the reward: loss = −log σ(r(chosen)) − log σ(−r(rejected)), never less than Bradley-Terry's of the same scores.
 * Source: Sun et al., arXiv:2411.04991, section 4.
 */
export const pairClassification = defineRewardLoss({
  name: "pair-classification",
  options: Type.Object({}),
  build(g, terms) {
    return { loss: bothSides(g, terms), metrics: pairMetrics(g, terms) };
  },
});

/**
 * A preference model reads both answers and says which is better: its score is the logit of P(first ≻ second).
 * Each pair is read in both orders; `chosen` is the score with the better answer first, `rejected` with the
 * better one second: loss = −½[log σ(s(w, l)) + log σ(−s(l, w))]. Intransitive preferences are no contradiction.
 * Source: Munos et al., arXiv:2312.00886, section 3.
 */
export const preferenceModel = defineRewardLoss({
  name: "preference-model",
  options: Type.Object({}),
  build(g, terms) {
    return { loss: g.scale(bothSides(g, terms), 0.5), metrics: pairMetrics(g, terms) };
  },
});

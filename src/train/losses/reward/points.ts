import { Type } from "typebox";
import type { Graph, Value } from "../../../onnx/graph.ts";
import { defineRewardPointLoss, type RewardPointTerms } from "../define.ts";
import { weightedMean } from "./pairs.ts";

/**
 * Rewards by regression: loss = Σ w·(r − target)² / Σ w, of whole answers' ratings, of segments' shares of a rating
 * (`segmentShares`), or of every prefix towards the answer's rating with weights that grow (`prefixMarks`).
 * Source: Xiao & Zhu, 10.62 and 10.70; prefixes: Deng & Raffel, arXiv:2310.09520, eq. 2.
 * Erratum: both equations have a minus sign, and the square outside of the mean.
 */
export const rewardRegression = defineRewardPointLoss({
  name: "reward-regression",
  options: Type.Object({}),
  build(g, { scores, targets, weights }) {
    const error = g.sub(scores, targets); // [points]
    const loss = weightedMean(g, g.mul(error, error), weights);
    const bias = weightedMean(g, error, weights);
    return { loss, metrics: { bias, absolute_error: weightedMean(g, g.abs(error), weights) } };
  },
});

/**
 * Rewards by classification: loss = −Σ w·[t·log σ(r) + (1 − t)·log σ(−r)] / Σ w, t in [0, 1]: answers that were
 * liked or not, steps that are right or wrong, or the share of roll-outs from a step that came out right.
 * Source: Lightman et al., arXiv:2305.20050; Wang et al., arXiv:2312.08935, eq. 3; soft labels: Xiao & Zhu, 10.4.3.
 */
export const rewardClassification = defineRewardPointLoss({
  name: "reward-classification",
  options: Type.Object({}),
  build(g, terms) {
    const { scores, targets, weights } = terms;
    const perPoint = g.sub(g.softplus(scores), g.mul(targets, scores));
    return {
      loss: weightedMean(g, perPoint, weights),
      metrics: { accuracy: shareInOrder(g, terms, 0.5) },
    };
  },
});

/**
 * Rewards by a hinge: loss = Σ w·max(0, 1 − r·t) / Σ w, t = 1 for good segments and −1 for bad ones.
 * Source: Xiao & Zhu, 10.71. NOTE: there +1 stands for what is unethical; here the score is a reward as it is.
 */
export const rewardHinge = defineRewardPointLoss({
  name: "reward-hinge",
  options: Type.Object({}),
  build(g, terms) {
    const { scores, targets, weights } = terms;
    const [zero, one] = [g.scalar(0, scores.dtype), g.scalar(1, scores.dtype)];
    const perPoint = g.max(g.sub(one, g.mul(scores, targets)), zero);
    return {
      loss: weightedMean(g, perPoint, weights),
      metrics: { accuracy: shareInOrder(g, terms, 0) },
    };
  },
});

/** Share of points whose score has the sign of target − middle. */
function shareInOrder(
  g: Graph,
  { scores, targets, weights }: RewardPointTerms,
  middle: number,
): Value {
  const side = g.sub(targets, g.scalar(middle, targets.dtype));
  const isRight = g.less(g.scalar(0, scores.dtype), g.mul(scores, side));
  return weightedMean(g, g.cast(isRight, scores.dtype), weights);
}

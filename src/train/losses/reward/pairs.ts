/** What the losses over pairs of scores share. */
import type { Graph, Value } from "../../../onnx/graph.ts";
import type { RewardPairTerms } from "../define.ts";

/** Σ w·x / Σ w; 0 where nothing counts. */
export function weightedMean(g: Graph, x: Value, weights: Value): Value {
  const total = g.sum(weights);
  const divisor = g.max(total, g.scalar(1e-12, total.dtype));
  return g.div(g.sum(g.mul(x, weights)), divisor);
}

/** What is reported of every loss over pairs: how many are in order, by how much, and where the scores lie. */
export function pairMetrics(
  g: Graph,
  { chosen, rejected, weights }: RewardPairTerms,
): Record<string, Value> {
  const gap = g.sub(chosen, rejected);
  const isRight = g.cast(g.less(g.scalar(0, gap.dtype), gap), gap.dtype);
  return {
    accuracy: weightedMean(g, isRight, weights),
    margin: weightedMean(g, gap, weights),
    chosen_score: weightedMean(g, chosen, weights),
    rejected_score: weightedMean(g, rejected, weights),
  };
}

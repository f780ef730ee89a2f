/** What losses over answers that are good or bad by themselves share. */
import type { Graph, Value } from "../../../onnx/graph.ts";
import type { UnpairedTerms } from "../define.ts";

/** Means of some values over desirable and over undesirable answers; 0 over none. Scalars. */
export function meansByKind(
  g: Graph,
  values: Value,
  desirable: Value,
): { readonly desirable: Value; readonly undesirable: Value } {
  const one = g.scalar(1, values.dtype);
  const meanOver = (mask: Value) => g.div(g.sum(g.mul(values, mask)), g.max(one, g.sum(mask)));
  return { desirable: meanOver(desirable), undesirable: meanOver(g.sub(one, desirable)) };
}

/** Σ over answers of what a desirable one costs, or what an undesirable one costs, by their number. */
export function costByKind(
  g: Graph,
  { desirable }: UnpairedTerms,
  costs: { readonly desirable: Value; readonly undesirable: Value },
): Value {
  const undesirable = g.sub(g.scalar(1, desirable.dtype), desirable);
  return g.mean(g.add(g.mul(desirable, costs.desirable), g.mul(undesirable, costs.undesirable)));
}

/**
 * Mean rewards of both kinds, their difference, and the share of answers on the right side of
 * `threshold`.
 * @param rewards [answers]
 */
export function unpairedMetrics(
  g: Graph,
  { answers, desirable }: UnpairedTerms,
  rewards: Value,
  threshold: Value,
): Record<string, Value> {
  const means = meansByKind(g, rewards, desirable);
  const likelihoods = meansByKind(g, answers.logps, desirable);
  const isAbove = g.cast(g.less(threshold, rewards), rewards.dtype);
  return {
    accuracy: g.mean(g.cast(g.equal(isAbove, desirable), rewards.dtype)),
    margin: g.sub(means.desirable, means.undesirable),
    desirable_reward: means.desirable,
    undesirable_reward: means.undesirable,
    desirable_logp: likelihoods.desirable,
    undesirable_logp: likelihoods.undesirable,
  };
}

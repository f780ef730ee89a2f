/**
 * Lists of any lengths without padding: what holds between answers is a matrix over all answers of
 * the batch, [answers, answers], and is 0 between lists. A batch has some hundred answers; their
 * squares are cheap.
 */
import type { Graph, Value } from "../../../onnx/graph.ts";
import { logRatio } from "../answers.ts";
import type { ListTerms } from "../define.ts";

/** x as a column [n, 1], and as a row [1, n]. */
export const column = (g: Graph, x: Value): Value => g.reshape(x, [x.shape[0]!, 1]);
export const row = (g: Graph, x: Value): Value => g.reshape(x, [1, x.shape[0]!]);

/** 1 where both are of one list; of the type of log-probabilities. */
export function isSameList(g: Graph, { lists, answers }: ListTerms): Value {
  return g.cast(g.equal(column(g, lists), row(g, lists)), answers.logps.dtype);
}

/** 1 where the answer of the row is worth more than that of the column; ties are no comparison. */
export function isBetter(g: Graph, terms: ListTerms): Value {
  const { rewards } = terms;
  const isMore = g.cast(g.less(row(g, rewards), column(g, rewards)), rewards.dtype);
  return g.mul(isSameList(g, terms), isMore);
}

/** [answers] 1 for the best of its list. Its sum is the number of lists. */
export function isBest(g: Graph, { ranks }: ListTerms): Value {
  return g.cast(g.equal(ranks, g.scalar(0, ranks.dtype)), ranks.dtype);
}

/** [answers] 1 for the worst of its list. */
export function isWorst(g: Graph, terms: ListTerms): Value {
  const sizes = g.sum(isSameList(g, terms), 1);
  const last = g.sub(sizes, g.scalar(1, sizes.dtype));
  return g.cast(g.equal(terms.ranks, last), sizes.dtype);
}

/** Σ values / Σ weights, 0 where no weight is. */
export function weightedMean(g: Graph, values: Value, weights: Value): Value {
  return g.div(g.sum(g.mul(values, weights)), g.max(g.scalar(1, weights.dtype), g.sum(weights)));
}

/** log π of the best answers, negated; sums or mean tokens; the mean over lists. */
export function negLogLikelihoodOfBest(
  g: Graph,
  terms: ListTerms,
  lengthNormalize: boolean,
): Value {
  const { logps, tokens } = terms.answers;
  const likelihood = lengthNormalize ? g.div(logps, tokens) : logps;
  return g.neg(weightedMean(g, likelihood, isBest(g, terms)));
}

/**
 * The share of comparisons that scores get right, the mean reward β·log(π/π_ref) of the best and of
 * the worst answers, their difference, and the likelihood of the best.
 * @param scores [answers] what the loss orders.
 */
export function listMetrics(
  g: Graph,
  terms: ListTerms,
  scores: Value,
  beta: number,
): Record<string, Value> {
  const rewards = g.scale(logRatio(g, terms.answers), beta);
  const isInOrder = g.cast(g.less(row(g, scores), column(g, scores)), scores.dtype);
  const best = weightedMean(g, rewards, isBest(g, terms));
  const worst = weightedMean(g, rewards, isWorst(g, terms));
  return {
    accuracy: weightedMean(g, isInOrder, isBetter(g, terms)),
    margin: g.sub(best, worst),
    best_reward: best,
    worst_reward: worst,
    best_logp: weightedMean(g, terms.answers.logps, isBest(g, terms)),
  };
}

/** [answers, 1] one over the number of comparisons in the list of the row; 0 for a list without any. */
export function comparisonShare(g: Graph, terms: ListTerms, better: Value): Value {
  const ofRows = g.sum(better, 1); // [answers]
  const ofLists = g.sum(g.mul(isSameList(g, terms), row(g, ofRows)), 1, true);
  return g.reciprocal(g.max(g.scalar(1, ofLists.dtype), ofLists));
}

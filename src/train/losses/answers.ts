/** Quantities that many losses over answers are made of. Nats throughout. */

import { assert } from "../../base/assert.ts";
import type { Graph, Value } from "../../onnx/graph.ts";
import type { AnswerTerms, PairTerms, RunningMean } from "./define.ts";
import type { Shift } from "./options.ts";

/** log(π/π_ref) of each answer, summed over its tokens, or their mean. */
export function logRatio(g: Graph, answer: AnswerTerms, lengthNormalize = false): Value {
  const ratio = g.sub(answer.logps, answer.references);
  return lengthNormalize ? g.div(ratio, answer.tokens) : ratio;
}

/** log π of each answer, the mean over its tokens. */
export function meanLogp(g: Graph, answer: AnswerTerms): Value {
  return g.div(answer.logps, answer.tokens);
}

/** −log σ(x) = softplus(−x), stable for x ≪ 0. */
export function negLogSigmoid(g: Graph, x: Value): Value {
  return g.softplus(g.neg(x));
}

/** max(0, x), with gradient 0 at 0. */
export function positivePart(g: Graph, x: Value): Value {
  return g.max(g.scalar(0, x.dtype), x);
}

/** Where `boundedExp` leaves the exponential: e²⁰ ≈ 4.9e8. */
const EXP_BOUND = 20;

/**
 * eˣ up to x = 20, beyond that its tangent there: e²⁰·(1 + x − 20). A log-ratio of summed
 * log-probabilities can be hundreds of nats; eˣ overflows float32 at 88.7, and a mere clamp would
 * stop the gradient.
 */
export function boundedExp(g: Graph, x: Value): Value {
  const bound = g.scalar(EXP_BOUND, x.dtype);
  const tangent = g.add(g.scalar(1, x.dtype), positivePart(g, g.sub(x, bound)));
  return g.mul(g.exp(g.min(x, bound)), tangent);
}

/** Implicit rewards β·log(π/π_ref) of both answers, and chosen less rejected; [pairs] each. */
export function implicitRewards(
  g: Graph,
  terms: PairTerms,
  beta: number,
  lengthNormalize = false,
): { readonly chosen: Value; readonly rejected: Value; readonly margin: Value } {
  const chosen = g.scale(logRatio(g, terms.chosen, lengthNormalize), beta);
  const rejected = g.scale(logRatio(g, terms.rejected, lengthNormalize), beta);
  return { chosen, rejected, margin: g.sub(chosen, rejected) };
}

/** −log π, the mean over answers; of whole answers, or of the mean token of each. */
export function negLogLikelihood(g: Graph, answer: AnswerTerms, lengthNormalize: boolean): Value {
  return g.neg(g.mean(lengthNormalize ? meanLogp(g, answer) : answer.logps));
}

/** (1 − ε)·−log σ(m) + ε·−log σ(−m): the cross-entropy to a label of 1 − ε. */
export function smoothedNegLogSigmoid(g: Graph, margin: Value, epsilon: number): Value {
  const asLabelled = negLogSigmoid(g, margin);
  if (epsilon === 0) return asLabelled;
  return g.add(g.scale(asLabelled, 1 - epsilon), g.scale(g.softplus(margin), epsilon));
}

/** What is neither a good nor a bad reward, by the middle of both kinds' means in this batch; a constant. */
export function shiftOf(
  g: Graph,
  shift: Shift,
  middle: Value,
  running: (() => RunningMean) | undefined,
): Value {
  if (shift === "none") return g.scalar(0, middle.dtype);
  if (shift === "batch") return g.stopGradient(middle);
  assert(running, "nobody remembers the steps before");
  const { mean, steps } = running();
  const next = g.add(steps, g.scalar(1, steps.dtype));
  return g.stopGradient(g.div(g.add(g.mul(mean, steps), middle), next));
}

/** x − c. */
export const minus = (g: Graph, x: Value, c: number): Value => g.sub(x, g.scalar(c, x.dtype));
export const squared = (g: Graph, x: Value): Value => g.mul(x, x);

/** The share of numbers above 0, as a scalar. */
export function sharePositive(g: Graph, x: Value): Value {
  return g.mean(g.cast(g.less(g.scalar(0, x.dtype), x), x.dtype));
}

/**
 * What every pair loss reports: means of the implicit rewards and of their difference (margin), the
 * share of pairs in order (a tie is not), and log π of both answers, whose fall a margin hides.
 * @param chosen,rejected [pairs] implicit rewards in the loss's own scale.
 */
export function pairMetrics(
  g: Graph,
  terms: PairTerms,
  { chosen, rejected }: { readonly chosen: Value; readonly rejected: Value },
): Record<string, Value> {
  const margin = g.sub(chosen, rejected);
  return {
    accuracy: sharePositive(g, margin),
    margin: g.mean(margin),
    chosen_reward: g.mean(chosen),
    rejected_reward: g.mean(rejected),
    chosen_logp: g.mean(terms.chosen.logps),
    rejected_logp: g.mean(terms.rejected.logps),
  };
}

/** The share of numbers beyond the bound of `boundedExp`. */
export function saturation(g: Graph, ...exponents: readonly Value[]): Value {
  const shares = exponents.map((x) => sharePositive(g, minus(g, x, EXP_BOUND)));
  return g.scale(
    shares.reduce((sum, share) => g.add(sum, share)),
    1 / shares.length,
  );
}

/**
 * In ascending order; equal numbers keep theirs, so that the gradient goes back where each came from.
 * Each number's place is how many are smaller, or equal and before it: n² comparisons for n numbers.
 * @param x [n]
 */
export function sorted(g: Graph, x: Value): Value {
  const size = x.shape[0]!;
  const one = g.scalar(1, x.dtype);
  const index = g.op("CumSum", [g.add(g.zerosLike(x), one)], { axis: 0, reverse: 0 });
  const column = (values: Value) => g.reshape(values, [size, 1]);
  const row = (values: Value) => g.reshape(values, [1, size]);
  const isBefore = g.cast(g.less(row(index), column(index)), x.dtype);
  const isEqual = g.cast(g.equal(row(x), column(x)), x.dtype);
  const isLess = g.cast(g.less(row(x), column(x)), x.dtype);
  const place = g.cast(g.sum(g.add(isLess, g.mul(isEqual, isBefore)), 1), "int64");
  return g.op("ScatterElements", [g.zerosLike(x), place, x], { axis: 0, reduction: "none" });
}

/** Quantities that many losses over answers are made of. Nats throughout. */
import type { Graph, Value } from "../../onnx/graph.ts";
import type { AnswerTerms, PairTerms } from "./define.ts";

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
export const EXP_BOUND = 20;

/**
 * eˣ up to x = 20, beyond that its tangent there: e²⁰·(1 + x − 20). A log-ratio of summed log-probabilities
 * can be hundreds of nats; eˣ overflows float32 at 88.7, and a mere clamp would stop the gradient.
 */
export function boundedExp(g: Graph, x: Value): Value {
  const bound = g.scalar(EXP_BOUND, x.dtype);
  const tangent = g.add(g.scalar(1, x.dtype), positivePart(g, g.sub(x, bound)));
  return g.mul(g.exp(g.min(x, bound)), tangent);
}

/** The share of numbers above 0, as a scalar. */
export function sharePositive(g: Graph, x: Value): Value {
  return g.mean(g.cast(g.less(g.scalar(0, x.dtype), x), x.dtype));
}

/**
 * What every pair loss reports: means of the implicit rewards and of their difference (margin), the share of
 * pairs in order (a tie is not), and log π of both answers, whose fall a margin hides.
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

/**
 * How far a strategy's answer moves from the policy, in nats: KL(law of the answer ‖ sampling law).
 * Pure numbers; which of them applies to a run is the strategy's to say.
 */
import type { Distribution } from "../engine/types.ts";
import type { TextSampling } from "../registry/types.ts";

/**
 * KL(best-of-n ‖ sampling law) ≤ ln n − (n − 1)/n, whatever the law and the reward; equality only in
 * the limit of ever smaller probabilities. A bound, not an identity: Beirami et al., arXiv:2401.01879.
 * It holds for every rule that picks one of at most n independent candidates: for any set A of answers
 * P(pick ∈ A) ≤ P(some candidate ∈ A) = 1 − (1 − π(A))ⁿ, with equality for the best by a reward without ties, whose law
 * therefore majorises all others; and KL is Schur-convex in the density.
 * @param n candidates drawn independently at most; 1 gives 0.
 */
export function bestOfNBound(n: number): number {
  return Math.log(n) - (n - 1) / n;
}

/**
 * Estimate of KL(best-of-n ‖ sampling law) from the one answer y that was chosen, with ε = π(y|x):
 * K̂ = (1−ε)ⁿ·[ln n + (n−1)·ln(1−ε) − (n−1)/n] + (1−(1−ε)ⁿ)·ln((1−(1−ε)ⁿ)/ε).
 * Its mean over the best-of-n law lies between the exact KL and the bound in every case tried.
 * @param logprob ln ε, nats; it may be so small that ε underflows to 0, where K̂ is the bound.
 * Source: Beirami et al., arXiv:2401.01879; the values are checked by enumeration in the tests.
 */
export function bestOfNEstimate(n: number, logprob: number): number {
  const logEpsilon = Math.min(0, logprob); // float32 sums may end a rounding error above 0
  const logMiss = Math.log1p(-Math.exp(logEpsilon)); // ln(1−ε): −∞ when ε = 1
  const none = Math.exp(n * logMiss); // P(no candidate is y)
  const some = -Math.expm1(n * logMiss); // P(some candidate is y)
  const ifNone = none === 0 ? 0 : none * (bestOfNBound(n) + (n - 1) * logMiss);
  const ifSome = some === 0 ? 0 : some * (Math.log(some) - logEpsilon);
  return ifNone + ifSome;
}

/**
 * KL(q ‖ π) of the law of one token, q = softmax(guided), π = exp(logits − logSumExp). Summed along an answer drawn
 * from q it is an unbiased estimate of the KL of whole answers (the chain rule), and never below 0.
 * @param guided [V], −∞ where q is 0; @param logits [V].
 */
export function tokenKl(
  guided: Float64Array,
  { logits, logSumExp }: Pick<Distribution, "logits" | "logSumExp">,
): number {
  const max = guided.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  let total = 0;
  let mean = 0; // Σ weight·(ln weight − ln π)
  for (let id = 0; id < guided.length; id++) {
    const logWeight = guided[id]! - max;
    if (logWeight < -700) continue; // exp underflows: such a token is never drawn
    const weight = Math.exp(logWeight);
    total += weight;
    mean += weight * (logWeight - (logits[id]! - logSumExp));
  }
  return Math.max(0, mean / total - Math.log(total)); // rounding may leave it a little below
}

/**
 * Whether the sampling law is the model's own, so that a candidate's log-probability is the logarithm
 * of the probability it was drawn with. Temperature, a filter, a penalty or a bias makes it another law.
 */
export function drawsFromModel(sampling: TextSampling): boolean {
  return (
    sampling.temperature === 1 &&
    sampling.topK === 0 &&
    sampling.topP === 1 &&
    sampling.minP === 0 &&
    sampling.frequencyPenalty === 0 &&
    sampling.presencePenalty === 0 &&
    sampling.logitBias.size === 0
  );
}

/**
 * What the policy losses share: ratios of probabilities, the clipped surrogate, the penalty, and how
 * terms of tokens become one number. Units: log-probabilities and KL in nats, advantages in the reward's.
 */
import { type Static, Type } from "typebox";
import { assert } from "../../../base/assert.ts";
import type { Graph, Value } from "../../../onnx/graph.ts";
import { boundedExp } from "../answers.ts";
import type { LossTerms, PolicyTerms } from "../define.ts";

export const AGGREGATIONS = ["token-mean", "answer-mean", "answer-sum", "fixed-length"] as const;
export type Aggregation = (typeof AGGREGATIONS)[number];

export const KL_ESTIMATORS = ["k3", "k2", "k1", "iterate"] as const;
export type KlEstimator = (typeof KL_ESTIMATORS)[number];

/** Options that every policy loss has; they differ in their defaults. */
export const policyOptions = (
  aggregation: Aggregation,
  klEstimator: KlEstimator = "k3",
  klWeight = 0,
) => ({
  aggregation: Type.Enum(AGGREGATIONS, {
    default: aggregation,
    description:
      "of the tokens' terms: mean over all tokens; mean over answers of the mean, or of the sum, over each one's tokens; sum over answers × tokens_max",
  }),
  tokens_max: Type.Integer({
    minimum: 1,
    default: 512,
    description: "for fixed-length: the longest answer that could have been sampled",
  }),
  kl_weight: Type.Number({
    minimum: 0,
    default: klWeight,
    description:
      "β of the penalty KL(π ‖ reference), in the loss; leave it 0 when the reward holds it",
  }),
  kl_estimator: Type.Enum(KL_ESTIMATORS, {
    default: klEstimator,
    description:
      "k3: ≥ 0 with little variance, as GRPO has it; k2: its gradient is that of KL(π ‖ reference); k1: the plain log-ratio, whose gradient is 0 on average over π's own answers; iterate: ρ − ln ρ − 1, to the policy that drew the answers",
  }),
  entropy_weight: Type.Number({
    minimum: 0,
    default: 0,
    description:
      "of the mean entropy of a token's law, which is added to the gain; 0: it is not computed",
  }),
});
export type PolicyOptions = Static<
  ReturnType<typeof Type.Object<ReturnType<typeof policyOptions>>>
>;

export const clipOptions = (low: number, high: number) => ({
  clip_low: Type.Number({
    minimum: 0,
    maximum: 1,
    default: low,
    description: "ε below: a ratio under 1 − ε gains nothing more",
  }),
  clip_high: Type.Number({
    minimum: 0,
    default: high,
    description: "ε above: a ratio over 1 + ε gains nothing more",
  }),
});

/** x between low and high; outside it is flat. */
export function clamp(g: Graph, x: Value, low: number, high: number): Value {
  return g.max(g.min(x, g.scalar(high, x.dtype)), g.scalar(low, x.dtype));
}

/** [tokens] π / π_old, by which the sampled tokens are counted as if the policy of now had drawn them. */
export function importanceRatio(g: Graph, { logps, old }: PolicyTerms): Value {
  return boundedExp(g, g.sub(logps, old));
}

/**
 * min(ρA, clip(ρ, 1 − ε_low, 1 + ε_high)·A): no gain from moving further in the direction that A asks for.
 * Source: Schulman et al., arXiv:1707.06347, eq. 7; two ε: Yu et al., arXiv:2503.14476, eq. 10.
 * Erratum: Xiao & Zhu print min(ρ, clip(ρ))·A (10.50), which for A < 0 stops on the wrong side.
 */
export function clippedSurrogate(
  g: Graph,
  ratio: Value,
  advantages: Value,
  { clip_low, clip_high }: { clip_low: number; clip_high: number },
): Value {
  const clipped = clamp(g, ratio, 1 - clip_low, 1 + clip_high);
  return g.min(g.mul(ratio, advantages), g.mul(clipped, advantages));
}

/**
 * [tokens] k₃ = e^d − d − 1 ≥ 0, d = log π_ref − log π: unbiased for KL(π ‖ π_ref) when π drew the tokens.
 * Source: Schulman 2020, "Approximating KL divergence"; Shao et al., arXiv:2402.03300, eq. 4.
 */
export function klEstimate(g: Graph, logps: Value, reference: Value): Value {
  const d = g.sub(reference, logps);
  return g.sub(g.sub(boundedExp(g, d), d), g.scalar(1, d.dtype));
}

/**
 * [tokens] whose mean is a divergence when the tokens were drawn by π (by π_old for `iterate`), nats:
 * k₃(π_ref), k₂ = ½(log π − log π_ref)², k₁ = log π − log π_ref, ρ − ln ρ − 1 for KL(π_old ‖ π).
 * NOTE: the gradient of k₃ is not that of the KL that it estimates; that of k₂ is, since
 * E[(log π − log π_ref)·∇log π] = ∇KL(π ‖ π_ref). Source: Tang & Munos, arXiv:2506.09477.
 */
function penalty(g: Graph, terms: PolicyTerms, estimator: KlEstimator): Value {
  if (estimator === "k3") return klEstimate(g, terms.logps, terms.reference);
  if (estimator === "iterate") return klEstimate(g, terms.old, terms.logps);
  const d = g.sub(terms.logps, terms.reference);
  if (estimator === "k1") return d;
  return g.scale(g.mul(d, d), 0.5);
}

/** [answers] sums of what each answer's tokens hold. */
export function sumByAnswer(g: Graph, { owners, lengths }: PolicyTerms, perToken: Value): Value {
  const empty = g.zerosLike(lengths);
  return g.op("ScatterElements", [empty, owners, perToken], { axis: 0, reduction: "add" });
}

/** [tokens] → scalar, tokens counted by their weights. */
export function aggregate(
  g: Graph,
  terms: PolicyTerms,
  perToken: Value,
  { aggregation, tokens_max }: Pick<PolicyOptions, "aggregation" | "tokens_max">,
): Value {
  const weighted = g.mul(perToken, terms.weights);
  if (aggregation === "token-mean") return g.div(g.sum(weighted), g.sum(terms.weights));
  const sums = sumByAnswer(g, terms, weighted);
  if (aggregation === "answer-mean") return g.mean(g.div(sums, terms.lengths));
  if (aggregation === "answer-sum") return g.mean(sums);
  return g.scale(g.mean(sums), 1 / tokens_max);
}

/**
 * loss = −aggregate(gain) + β·aggregate(k₃) − c·aggregate(H), the penalty once, H = −Σ_v π(v)·log π(v) the entropy of
 * the law that each token was drawn by, with what is reported of every policy.
 * Source of the bonus: Mnih et al., arXiv:1602.01783, section 4; Schulman et al., arXiv:1707.06347, eq. 9.
 * Erratum: Xiao & Zhu subtract the penalty inside the clipped utility (10.53) and again outside (10.54).
 */
export function policyLoss(
  g: Graph,
  terms: PolicyTerms,
  gain: Value,
  options: PolicyOptions,
): LossTerms {
  const kl = klEstimate(g, terms.logps, terms.reference);
  const parts = [g.neg(aggregate(g, terms, gain, options))];
  const weighed = (perToken: Value, weight: number) =>
    parts.push(g.scale(aggregate(g, terms, perToken, options), weight));
  if (options.kl_weight > 0) weighed(penalty(g, terms, options.kl_estimator), options.kl_weight);
  const entropy = options.entropy_weight > 0 ? entropies(terms) : null;
  if (entropy) weighed(entropy, -options.entropy_weight);
  const mean = (perToken: Value) =>
    aggregate(g, terms, perToken, { ...options, aggregation: "token-mean" });
  return {
    loss: parts.reduce((sum, part) => g.add(sum, part)),
    metrics: {
      kl: mean(kl),
      sampling_kl: mean(klEstimate(g, terms.logps, terms.old)),
      negative_logp: g.neg(mean(terms.logps)), // an estimate of the entropy when π drew the tokens
      ...(entropy && { entropy: mean(entropy) }),
    },
  };
}

function entropies({ entropies: of }: PolicyTerms): Value {
  assert(of, "nobody computes the entropies that the loss asks for");
  return of();
}

/** Share of tokens whose ratio lies outside of [1 − ε_low, 1 + ε_high]. */
export function clippedShare(
  g: Graph,
  terms: PolicyTerms,
  ratio: Value,
  { clip_low, clip_high }: { clip_low: number; clip_high: number },
): Value {
  const outside = g.cast(
    g.less(
      g.scalar(0, ratio.dtype),
      g.abs(g.sub(ratio, clamp(g, ratio, 1 - clip_low, 1 + clip_high))),
    ),
    ratio.dtype,
  );
  return g.div(g.sum(g.mul(outside, terms.weights)), g.sum(terms.weights));
}

/**
 * What each drawn token or answer was worth beyond what was to be expected, from rewards. Pure functions
 * on numbers; no gradient flows through any of them. Units: the reward's, unless said otherwise.
 */
import { assert } from "../base/assert.ts";

/** Rewards of the answers to one prompt; null for one that could not be scored: it counts nowhere and gets 0. */
export type GroupRewards = readonly (number | null)[];

type GroupEstimator = (rewards: GroupRewards, baseline: number) => number[];

/**
 * From the rewards of one prompt's answers to their advantages, by the name that a policy loss says.
 * `baseline`: the greedy answer's reward for `greedy-baseline`, the mean reward of everything sampled so
 * far for `mean-baseline`; the others take it from the group.
 */
export const groupEstimators: { readonly [name in GroupEstimatorName]: GroupEstimator } = {
  "group-normalised": (rewards) => groupNormalised(rewards),
  "group-centred": (rewards) => groupCentred(rewards),
  "leave-one-out": (rewards) => leaveOneOut(rewards),
  "greedy-baseline": lessBaseline,
  "mean-baseline": lessBaseline,
  best: (rewards) => bestOnly(rewards),
  "mixed-reward": (rewards) =>
    isMixed(rewards) ? rewards.map((reward) => reward ?? 0) : rewards.map(() => 0),
  /** Rewards are a preference model's P(y ≻ y′). */
  preference: (probabilities) => lessBaseline(probabilities, 0.5),
};

type GroupEstimatorName =
  | "group-normalised"
  | "group-centred"
  | "leave-one-out"
  | "greedy-baseline"
  | "mean-baseline"
  | "best"
  | "mixed-reward"
  | "preference";
/** `generalised`: of tokens, from a value head; see `generalisedAdvantages`. */
export type AdvantageEstimator = GroupEstimatorName | "generalised";

export interface GroupNormalisation {
  /** Divisor of the variance: n − 1 as in TRL, or n as in Li et al.'s examples. */
  readonly deviation?: "sample" | "population";
  /** Added to the deviation. */
  readonly epsilon?: number;
}

/**
 * Aᵢ = (rᵢ − mean) / (std + ε) among the answers to one prompt; equal rewards give 0, never NaN.
 * Source: Shao et al., arXiv:2402.03300, section 4.1.2. Defaults: TRL's (n − 1, ε = 10⁻⁴).
 * @returns [answers], without a unit.
 */
export function groupNormalised(
  rewards: GroupRewards,
  { deviation = "sample", epsilon = 1e-4 }: GroupNormalisation = {},
): number[] {
  const centred = groupCentred(rewards);
  if (centred.every((each) => each === 0)) return centred;
  const n = scored(rewards).length;
  const squares = sum(centred.map((each) => each * each)); // 0 where there is no reward
  const std = Math.sqrt(squares / (deviation === "sample" ? n - 1 : n));
  return centred.map((each) => each / (std + epsilon));
}

/** Aᵢ = rᵢ − mean of one prompt's. Source: Liu et al., arXiv:2503.20783 (Dr. GRPO), section 3.2. */
export function groupCentred(rewards: GroupRewards): number[] {
  const known = scored(rewards);
  // The rounding of a mean must not make equal rewards differ.
  if (known.every((reward) => reward === known[0])) return rewards.map(() => 0);
  return lessBaseline(rewards, sum(known) / known.length);
}

/**
 * Aᵢ = rᵢ − mean of the others' = K/(K − 1)·(rᵢ − mean); a single answer has nothing to compare with and gets 0.
 * Source: Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free"; Ahmadian et al., arXiv:2402.14740.
 */
export function leaveOneOut(rewards: GroupRewards): number[] {
  const n = scored(rewards).length;
  return groupCentred(rewards).map((each) => (n > 1 ? (each * n) / (n - 1) : 0));
}

/** 1 for the first of the answers with the highest reward, 0 for the others: RAFT, best of n. */
export function bestOnly(rewards: GroupRewards): number[] {
  const best = rewards.indexOf(Math.max(...scored(rewards)));
  return rewards.map((_, i) => (i === best ? 1 : 0));
}

/**
 * Whether a prompt's answers differ in reward: else they teach nothing, and DAPO's dynamic sampling and
 * Reinforce-Rej leave the prompt out. Source: Yu et al., arXiv:2503.14476, eq. 11; Xiong et al., arXiv:2504.11343.
 */
export function isMixed(rewards: GroupRewards): boolean {
  const known = scored(rewards);
  return known.some((reward) => reward !== known[0]);
}

function lessBaseline(rewards: GroupRewards, baseline: number): number[] {
  scored(rewards);
  return rewards.map((reward) => (reward === null ? 0 : reward - baseline));
}

/** @throws InvariantError for a reward that is not a finite number. */
function scored(rewards: GroupRewards): number[] {
  const known = rewards.filter((reward) => reward !== null);
  for (const reward of known) assert(Number.isFinite(reward), `a reward is ${reward}`);
  return known;
}

/**
 * Gₜ = rₜ + γ·Gₜ₊₁: what was earned from each token on. Source: Xiao & Zhu, 10.26.
 * @param rewards [T] one a token.
 */
export function rewardToGo(rewards: readonly number[], gamma = 1): number[] {
  return backwards(rewards, (reward, next) => reward + gamma * next);
}

/**
 * δₜ = rₜ + γ·Vₜ₊₁ − Vₜ, the value after the last token being 0. With γ = 1 they sum to R − V₁: an
 * advantage is a reward shaped by the potential V. Source: Xiao & Zhu, 10.31 and 10.66.
 * @param values [T] critic's estimate before each token.
 * @throws InvariantError when the lengths differ.
 */
export function tdErrors(
  rewards: readonly number[],
  values: readonly number[],
  gamma = 1,
): number[] {
  assert(rewards.length === values.length, `${values.length} values, ${rewards.length} rewards`);
  return rewards.map((reward, t) => reward + gamma * (values[t + 1] ?? 0) - values[t]!);
}

/**
 * Generalized advantage estimation for one answer: Âₜ = δₜ + γλ·Âₜ₊₁. λ = γ = 1 gives R − Vₜ, λ = 0 gives δₜ.
 * The value head's target is Âₜ + Vₜ.
 * Source: Schulman et al., arXiv:1506.02438, section 3. Defaults: TRL's PPOConfig.
 * @throws InvariantError when the lengths differ.
 */
export function generalisedAdvantages(
  rewards: readonly number[],
  values: readonly number[],
  { gamma = 1, lambda = 0.95 }: { readonly gamma?: number; readonly lambda?: number } = {},
): number[] {
  return backwards(
    tdErrors(rewards, values, gamma),
    (error, next) => error + gamma * lambda * next,
  );
}

/**
 * r′ₜ = rₜ + γ·Φₜ₊₁ − Φₜ; the best policy stays the best.
 * Source: Ng et al. 1999; Xiao & Zhu, 10.64 and 10.65.
 * @param potentials [T + 1] of the states before each token and after the last one.
 * @throws InvariantError unless there is one potential more than rewards.
 */
export function shaped(
  rewards: readonly number[],
  potentials: readonly number[],
  gamma = 1,
): number[] {
  assert(potentials.length === rewards.length + 1, `${potentials.length} potentials`);
  return rewards.map((reward, t) => reward + gamma * potentials[t + 1]! - potentials[t]!);
}

/** Zero mean and unit (population) variance over a whole batch's tokens: PPO's usual scale. Equal ones give 0. */
export function whitened(advantages: readonly number[]): number[] {
  return groupNormalised(advantages, { deviation: "population", epsilon: 1e-8 });
}

/**
 * An answer's reward spread over its tokens by their shares, r̃ₜ = β·αₜ·R + (1 − β)·R·[t = T], Σ r̃ₜ = R.
 * Equal weights spread it evenly, β = 0 leaves all at the end.
 * @param weights [T] ≥ 0 in any unit, such as a reward model's attention to each token; made to sum to 1.
 * @throws InvariantError for weights that are negative or all 0.
 * Source: Chan et al., arXiv:2402.00782, section 3 (attention-based credit).
 */
export function redistributed(
  reward: number,
  weights: readonly number[],
  dense: number = 1,
): number[] {
  const total = sum(weights);
  assert(
    total > 0 && weights.every((weight) => weight >= 0),
    `a reward cannot be spread by [${weights.join(", ")}]`,
  );
  const atEnd = (t: number) => (t === weights.length - 1 ? (1 - dense) * reward : 0);
  return weights.map((weight, t) => (dense * reward * weight) / total + atEnd(t));
}

/**
 * rₜ = −β·(log π_old − log π_ref) + [t = T]·R: the penalty inside the reward. The loss must then have none.
 * Source: Ouyang et al., arXiv:2203.02155, section 3.5; Stiennon et al., arXiv:2009.01325.
 * @param logRatios [T] log π_old − log π_ref of each drawn token, nats.
 */
export function klShaped(reward: number, logRatios: readonly number[], beta: number): number[] {
  return logRatios.map(
    (logRatio, t) => -beta * logRatio + (t === logRatios.length - 1 ? reward : 0),
  );
}

/**
 * 0 up to lengthMax − buffer tokens, from there falling to −1 at lengthMax, and −1 beyond: to be added to the reward.
 * Source: Yu et al., arXiv:2503.14476, eq. 13 (there 20,480 and 4,096).
 */
export function overlongPenalty(tokens: number, lengthMax: number, buffer: number): number {
  const free = lengthMax - buffer;
  return tokens <= free ? 0 : Math.max(-1, (free - tokens) / buffer);
}

export interface ImportanceOptions {
  /** Ratios of tokens, or one of the whole answer: the product of its tokens'. */
  readonly level?: "token" | "answer";
  /** What happens to a ratio above `ratioMax`: it counts as `ratioMax`, or its tokens count nothing. */
  readonly beyond?: "truncate" | "mask";
  readonly ratioMax?: number;
}

/**
 * What logged tokens weigh when another policy drew them, ρ = π_now / π_sampled, bounded above: the bias
 * of the bound is the price of a bounded variance. To be multiplied with the tokens' weights.
 * Source: Ionides 2008, "Truncated importance sampling"; defaults: TRL's GRPOConfig (answer, mask, 3).
 * @param now, sampled [T] log-probabilities of one answer's tokens, nats.
 * @throws InvariantError when the lengths differ.
 */
export function importanceWeights(
  now: readonly number[],
  sampled: readonly number[],
  { level = "answer", beyond = "mask", ratioMax = 3 }: ImportanceOptions = {},
): number[] {
  assert(now.length === sampled.length, `${now.length} and ${sampled.length} log-probabilities`);
  const differences = now.map((logp, t) => logp - sampled[t]!);
  const whole = sum(differences);
  const excess = beyond === "mask" ? 0 : ratioMax;
  return differences.map((difference) => {
    const ratio = Math.exp(level === "token" ? difference : whole);
    return ratio > ratioMax ? excess : ratio;
  });
}

/** Whether an answer drawn after `sampledAt` updates is still to be learned from. Default: TRL's asynchronous GRPO. */
export function isFresh(sampledAt: number, step: number, stalenessMax = 4): boolean {
  return step - sampledAt <= stalenessMax;
}

/** f from the last element to the first, each given the result of the one after it (0 after the last). */
function backwards(
  numbers: readonly number[],
  f: (each: number, next: number) => number,
): number[] {
  let next = 0;
  return numbers
    .toReversed()
    .map((each) => {
      next = f(each, next);
      return next;
    })
    .reverse();
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/**
 * What each drawn token or answer was worth beyond what was to be expected, from rewards. Pure functions
 * on numbers; no gradient flows through any of them. Units: the reward's, unless said otherwise.
 */
import { assert } from "../base/assert.ts";

/** How a policy loss wants its advantages, by the name that its definition says. */
export type AdvantageEstimator =
  | "reward"
  | "group-normalised"
  | "group-centred"
  | "leave-one-out"
  | "greedy-baseline"
  | "generalised"
  | "chosen";

export interface GroupNormalisation {
  /** Divisor of the variance: n − 1 as in TRL, or n as in the survey's examples. */
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
  rewards: readonly number[],
  { deviation = "sample", epsilon = 1e-4 }: GroupNormalisation = {},
): number[] {
  const centred = groupCentred(rewards);
  if (centred.every((each) => each === 0)) return centred;
  const squares = sum(centred.map((each) => each * each));
  const std = Math.sqrt(squares / (deviation === "sample" ? rewards.length - 1 : rewards.length));
  return centred.map((each) => each / (std + epsilon));
}

/** Aᵢ = rᵢ − mean, of one prompt. Source: Liu et al., arXiv:2503.20783 (Dr. GRPO), section 3.2. */
export function groupCentred(rewards: readonly number[]): number[] {
  assert(rewards.length > 0, "a group has no rewards");
  // Rounding of a mean must not make equal rewards differ.
  if (rewards.every((reward) => reward === rewards[0])) return rewards.map(() => 0);
  const mean = sum(rewards) / rewards.length;
  return rewards.map((reward) => reward - mean);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** What another wave of candidates would add to the best reward so far. Pure numbers, in the reward's unit. */
import { assert } from "../base/assert.ts";
import { chiSquareSurvival, meanOf } from "../base/statistics.ts";

export interface GainOptions {
  /** Candidates of the next wave. */
  readonly wave: number;
  /** No reward is higher. */
  readonly maxReward: number | null;
}

/**
 * Expected improvement if rewards are normal, with the mean μ and the standard deviation s (over n − 1) of those seen,
 * and b the best of them: E[max(b, w new ones)] − b = ∫_b^top (1 − Φ((x − μ)/s)ʷ) dx, top = maxReward or ∞.
 * For w = 1 and no top it is s·(φ(z) − z·(1 − Φ(z))), z = (b − μ)/s.
 * @param rewards at least two.
 * @returns ≥ 0; 0 when all are equal.
 * Source: Jones, Schonlau & Welch 1998, J. Glob. Optim. 13:455, eq. 15 (w = 1); Simpson's rule for the rest.
 */
export function normalGain(rewards: readonly number[], { wave, maxReward }: GainOptions): number {
  assert(rewards.length >= 2, "a normal law is fitted to two rewards at least");
  const mean = meanOf(rewards);
  const squares = rewards.reduce((sum, reward) => sum + (reward - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (rewards.length - 1));
  if (deviation === 0) return 0;
  const from = (Math.max(...rewards) - mean) / deviation;
  const top = maxReward === null ? Number.POSITIVE_INFINITY : (maxReward - mean) / deviation;
  const to = Math.min(top, Math.max(from, 0) + 9); // beyond lie fewer than 1e-18 of the draws
  if (to <= from) return 0;
  return deviation * simpson(from, to, (z) => -Math.expm1(wave * Math.log1p(-normalSurvival(z))));
}

/**
 * What the last wave brought on average over all orders in which the rewards could have come:
 * E[best of m] − E[best of m − w], of subsets of the m seen; no law is assumed. The expected best is concave in the
 * number of draws, so this is an upper bound of what the next wave is expected to bring, without bias.
 * @returns ≥ 0; ∞ while m ≤ w, when there is nothing to compare with.
 */
export function recordGain(rewards: readonly number[], wave: number): number {
  if (rewards.length <= wave) return Number.POSITIVE_INFINITY;
  return Math.max(...rewards) - expectedBest(rewards, rewards.length - wave);
}

/** Mean of the best of k, over all subsets of size k. */
export const expectedBest = (rewards: readonly number[], k: number): number =>
  expectedOfBest(rewards, rewards, k);

/**
 * Mean of the value of the one with the highest key among k, over all subsets of size k; equal keys are chosen among by
 * chance. Σᵢ v₍ᵢ₎·C(i − 1, k − 1)/C(m, k), keys ascending and values averaged over equal keys.
 * Source: the unbiased estimate of best-of-k (Nakano et al., arXiv:2112.09332, appendix I).
 */
export function expectedOfBest(
  keys: readonly number[],
  values: readonly number[],
  k: number,
): number {
  const order = keys.map((_, i) => i).sort((a, b) => keys[a]! - keys[b]!);
  const m = order.length;
  let share = k / m; // that the i-th is the best, from the last downwards
  let mean = 0;
  for (let to = m; to >= k; ) {
    let from = to; // those from `from` to `to`, counted from 1, have the same key
    while (from > 1 && keys[order[from - 2]!] === keys[order[to - 1]!]) from -= 1;
    const equal = order.slice(from - 1, to);
    const value = equal.reduce((sum, i) => sum + values[i]!, 0) / equal.length;
    for (let i = to; i >= Math.max(from, k); i--) {
      mean += share * value;
      share *= (i - k) / (i - 1);
    }
    to = from - 1;
  }
  return mean;
}

/** 1 − Φ(z). NOTE: χ² with one degree of freedom is z², which keeps the digits of a small tail. */
export function normalSurvival(z: number): number {
  const tail = chiSquareSurvival(z ** 2, 1) / 2;
  return z >= 0 ? tail : 1 - tail;
}

const PIECES = 400; // even

function simpson(from: number, to: number, f: (x: number) => number): number {
  const step = (to - from) / PIECES;
  let sum = f(from) + f(to);
  for (let i = 1; i < PIECES; i++) sum += (i % 2 === 1 ? 4 : 2) * f(from + i * step);
  return (sum * step) / 3;
}

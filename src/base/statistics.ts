/** Spreads, interval estimates and the tail probabilities that checks, reports and gates need. Pure functions. */
import { assert } from "./assert.ts";
import { createRandom } from "./random.ts";

/** A point estimate and a two-sided confidence interval, in the unit of what was measured. */
export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Wilson's score interval for a proportion, p̂ = successes / n:
 * (p̂ + z²/2n ± z·√(p̂(1 − p̂)/n + z²/4n²)) / (1 + z²/n). Never leaves [0, 1], sound for small n.
 * @param z standard normal quantile; 1.959964 gives 95 %.
 * @throws InvariantError unless 0 ≤ successes ≤ n and n > 0.
 * Source: Wilson 1927, J. Am. Stat. Assoc. 22:209.
 */
export function wilsonInterval(successes: number, n: number, z = 1.959964): Interval {
  assert(n > 0 && successes >= 0 && successes <= n, "a proportion needs 0 ≤ successes ≤ n, n > 0");
  const p = successes / n;
  const center = p + z ** 2 / (2 * n);
  const reach = z * Math.sqrt((p * (1 - p)) / n + z ** 2 / (4 * n ** 2));
  const scale = 1 + z ** 2 / n;
  return {
    estimate: p,
    low: Math.max(0, (center - reach) / scale),
    high: Math.min(1, (center + reach) / scale),
  };
}

/**
 * Student's interval for the mean of independent values: x̄ ± t·s/√n, with s² the variance over
 * n − 1 and t the quantile at n − 1 degrees of freedom. Exact for normal values, and for others
 * good once n is some dozens; for skewed rewards prefer `bootstrapInterval`.
 * @throws InvariantError with fewer than two values.
 * Source: Student 1908, Biometrika 6:1.
 */
export function meanInterval(values: readonly number[], confidence = 0.95): Interval {
  const n = values.length;
  assert(n >= 2, "an interval for a mean needs two values");
  const mean = meanOf(values);
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  const reach = studentQuantile(confidence, n - 1) * Math.sqrt(variance / n);
  return { estimate: mean, low: mean - reach, high: mean + reach };
}

export interface BootstrapOptions {
  readonly seed: number;
  /** What is estimated; the mean unless given. */
  readonly statistic?: (values: readonly number[]) => number;
  readonly resamples?: number;
  readonly confidence?: number;
}

/**
 * Percentile bootstrap: the statistic of many resamples drawn with replacement, cut at
 * (1 − confidence)/2 on both sides. Assumes nothing of the distribution; slightly too narrow for
 * fewer than about 30 values. The same seed gives the same interval.
 * @throws InvariantError without values.
 * Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, §13.3.
 */
export function bootstrapInterval(values: readonly number[], options: BootstrapOptions): Interval {
  const { seed, statistic = meanOf, resamples = 2000, confidence = 0.95 } = options;
  const n = values.length;
  assert(n > 0, "a bootstrap needs values");
  const random = createRandom(seed);
  const resample = () => Array.from({ length: n }, () => values[random.integer(n)]!);
  const estimates = Float64Array.from({ length: resamples }, () => statistic(resample())).sort();
  const tail = (1 - confidence) / 2;
  return {
    estimate: statistic(values),
    low: quantileOfSorted(estimates, tail),
    high: quantileOfSorted(estimates, 1 - tail),
  };
}

/**
 * P(χ² > x) with df degrees of freedom: Q(df/2, x/2), the regularised upper incomplete gamma
 * function. Relative error below 1e-12 up to df = 1,000, then df·1e-15: the exponents cancel.
 * @throws InvariantError unless x ≥ 0 and df > 0.
 * Source: Abramowitz & Stegun 26.4.19.
 */
export function chiSquareSurvival(x: number, df: number): number {
  assert(x >= 0 && df > 0, "a χ² needs x ≥ 0 and df > 0");
  if (x === 0) return 1;
  if (x === Infinity) return 0;
  const a = df / 2;
  const y = x / 2;
  return y < a + 1 ? 1 - lowerGammaSeries(a, y) : upperGammaFraction(a, y);
}

/**
 * ln Γ(x), x > 0: Stirling's series from x ≥ 15 on, reached by Γ(x) = Γ(x + 1)/x.
 * Error below 1e-13, absolute or relative, whichever is larger.
 * @throws InvariantError unless x > 0.
 * Source: Abramowitz & Stegun 6.1.15 and 6.1.41.
 */
export function logGamma(x: number): number {
  assert(x > 0, "ln Γ is implemented for x > 0");
  let z = x;
  let product = 1;
  for (; z < 15; z++) product *= z;
  const w = 1 / z ** 2;
  const series = (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w / 1188)))) / z;
  return (z - 0.5) * Math.log(z) - z + Math.log(2 * Math.PI) / 2 + series - Math.log(product);
}

/**
 * Spearman's rank correlation: Pearson's of the ranks, equal values sharing the mean of theirs. In [−1, 1]; NaN where
 * either side is the same throughout, which has no order to compare.
 * @throws InvariantError unless both have the same number of values.
 * Source: Spearman 1904, Am. J. Psychol. 15:72.
 */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  assert(a.length === b.length, "a correlation needs pairs");
  const [x, y] = [centredRanks(a), centredRanks(b)];
  const product = (p: readonly number[], q: readonly number[]) =>
    p.reduce((sum, value, i) => sum + value * q[i]!, 0);
  return product(x, y) / Math.sqrt(product(x, x) * product(y, y));
}

/**
 * P(|ρ| ≥ the given) where the two sides have nothing to do with each other: Student's test of a correlation,
 * t = ρ·√((n − 2)/(1 − ρ²)) at n − 2 degrees of freedom. Good for ranks from about ten pairs on.
 * @throws InvariantError with fewer than three pairs.
 * Source: Kendall & Stuart 1973, The Advanced Theory of Statistics 2, §31.19.
 */
export function correlationTail(correlation: number, n: number): number {
  assert(n >= 3, "a correlation is tested with three pairs or more");
  const theta = Math.asin(Math.min(1, Math.abs(correlation))); // atan(t/√df)
  return Math.max(0, 1 - studentCoverage(theta, n - 2));
}

/** Of the values that were measured, in their unit. */
export interface Spread {
  readonly n: number;
  readonly mean: number;
  /** √(Σ (x − x̄)²/(n − 1)); null for one value. */
  readonly deviation: number | null;
  readonly min: number;
  readonly max: number;
}

/** @returns null without values. */
export function spreadOfValues(values: readonly number[]): Spread | null {
  const n = values.length;
  if (n === 0) return null;
  const [min, max] = [Math.min(...values), Math.max(...values)];
  const mean = min === max ? min : meanOf(values);
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { n, mean, deviation: n === 1 ? null : Math.sqrt(square / (n - 1)), min, max };
}

/** Ranks less their mean; half-integers, so that sums of them are exact. */
function centredRanks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const ranks = values.map(() => 0);
  for (let from = 0; from < order.length; ) {
    const value = values[order[from]!]!;
    let to = from;
    while (to + 1 < order.length && values[order[to + 1]!] === value) to++;
    for (let at = from; at <= to; at++) ranks[order[at]!] = (from + to - (values.length - 1)) / 2;
    from = to + 1;
  }
  return ranks;
}

export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * Linear between order statistics (Hyndman & Fan's type 7, the default of R and NumPy).
 * @param sorted ascending, at least one value.
 */
export function quantileOfSorted(sorted: ArrayLike<number>, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (position - below) * (high - low);
}

/** t with P(|T| < t) = confidence. Bisection: 200 halvings leave no bit open. */
function studentQuantile(confidence: number, df: number): number {
  assert(confidence > 0 && confidence < 1, "a confidence lies between 0 and 1");
  let low = 0;
  let high = Math.PI / 2;
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (studentCoverage(middle, df) < confidence) low = middle;
    else high = middle;
  }
  return Math.sqrt(df) * Math.tan(low);
}

/**
 * P(|T| < t) for whole df, θ = atan(t/√df). With c = cos θ, s = sin θ:
 * odd:  2/π · (θ + s·(c + 2/3 c³ + 2·4/(3·5) c⁵ + … + c^(df−2)))
 * even: s·(1 + 1/2 c² + 1·3/(2·4) c⁴ + … + c^(df−2))
 * Source: Abramowitz & Stegun 26.7.3, 26.7.4.
 */
function studentCoverage(theta: number, df: number): number {
  const cos = Math.cos(theta);
  const isOdd = df % 2 === 1;
  let term = isOdd ? cos : 1;
  let sum = 0;
  for (let power = isOdd ? 1 : 0; power <= df - 2; power += 2) {
    sum += term;
    term *= (cos ** 2 * (power + 1)) / (power + 2);
  }
  const tail = Math.sin(theta) * sum;
  return isOdd ? (2 / Math.PI) * (theta + tail) : tail;
}

/** P(a, x) = xᵃe⁻ˣ/Γ(a + 1) · Σ xⁿ / ((a + 1)…(a + n)). Source: Abramowitz & Stegun 6.5.29. */
function lowerGammaSeries(a: number, x: number): number {
  let term = 1;
  let sum = 1;
  for (let n = 1; term > sum * Number.EPSILON; n++) {
    term *= x / (a + n);
    sum += term;
  }
  return sum * Math.exp(a * Math.log(x) - x - logGamma(a + 1));
}

/**
 * Q(a, x) by its continued fraction 1/(x+1−a− 1(1−a)/(x+3−a− 2(2−a)/(x+5−a− …))), evaluated by
 * Lentz's method. Converges for x > a + 1. Sources: Abramowitz & Stegun 6.5.31 (even part);
 * Thompson & Barnett 1986, J. Comput. Phys. 64:490.
 */
function upperGammaFraction(a: number, x: number): number {
  let denominator = x + 1 - a;
  let c = Infinity;
  let d = 1 / denominator;
  let fraction = d;
  for (let n = 1, change = 0; Math.abs(change - 1) > 1e-15; n++) {
    const numerator = -n * (n - a);
    denominator += 2;
    d = 1 / (denominator + numerator * d);
    c = denominator + numerator / c;
    change = c * d;
    fraction *= change;
  }
  return fraction * Math.exp(a * Math.log(x) - x - logGamma(a));
}

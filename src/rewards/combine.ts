/** Scores of several judges in one number. Formulas and sources: `ensemble.ts`. */

export interface Weighted {
  readonly score: number;
  readonly weight: number;
}

export type Combination =
  | "mean"
  | "median"
  | "min"
  | "soft-min"
  | "mean-deviation"
  | "mean-variance"
  | "sum";

/**
 * @param scored those with a judgement, weights not 0; for all but `sum` positive.
 * @returns in the scores' unit; NaN when nobody judged.
 */
export function combine(
  way: Combination,
  scored: readonly Weighted[],
  { beta, lambda }: { readonly beta: number; readonly lambda: number },
): number {
  if (scored.length === 0) return Number.NaN;
  switch (way) {
    case "sum":
      return weightedSum(scored);
    case "mean":
      return mean(scored);
    case "median":
      return median(scored.map(({ score }) => score));
    case "min":
      return Math.min(...scored.map(({ score }) => score));
    case "soft-min":
      return softMin(scored, beta);
    case "mean-deviation":
      return mean(scored) - lambda * Math.sqrt(variance(scored));
    case "mean-variance":
      return mean(scored) - lambda * variance(scored);
  }
}

const weightedSum = (scored: readonly Weighted[]) =>
  scored.reduce((sum, { score, weight }) => sum + weight * score, 0);

const totalWeight = (scored: readonly Weighted[]) =>
  scored.reduce((sum, { weight }) => sum + weight, 0);

const mean = (scored: readonly Weighted[]) => weightedSum(scored) / totalWeight(scored);

/** Σ w (r − mean)² / Σ w. */
function variance(scored: readonly Weighted[]): number {
  const center = mean(scored);
  return mean(scored.map(({ score, weight }) => ({ weight, score: (score - center) ** 2 })));
}

function median(scores: readonly number[]): number {
  const sorted = scores.toSorted((a, b) => a - b);
  const upper = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[upper]! : (sorted[upper - 1]! + sorted[upper]!) / 2;
}

/** −β·ln(Σ w exp(−r/β) / Σ w), from the least score on, so that no exponential overflows. */
function softMin(scored: readonly Weighted[], beta: number): number {
  const least = Math.min(...scored.map(({ score }) => score));
  if (!Number.isFinite(least)) return least; // ∞ − ∞ below
  const tempered = scored.map(({ score, weight }) => ({
    weight,
    score: Math.exp((least - score) / beta),
  }));
  return least - beta * Math.log(mean(tempered));
}

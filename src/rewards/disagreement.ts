/**
 * How far the parts of a reward disagree about the candidates of a prompt: where they do, the reward is least to be
 * trusted. Scores are standardised first, part by part over the candidates, since parts differ in offset and scale.
 */
import { rankCorrelation } from "../base/statistics.ts";
import { spreadOf } from "./curves.ts";

export interface Disagreement {
  /**
   * Mean over the candidates of the standard deviation (the population's) over the parts of their z-scores
   * (r − mean)/deviation among the candidates: 0 where all parts say the same, about 1 where they say opposites.
   */
  readonly deviation: number;
  /** The least Spearman correlation of two parts over the candidates; null where every part but one calls all equal. */
  readonly correlation: number | null;
  /** Parts that would have chosen another candidate. */
  readonly dissenting: readonly string[];
}

/**
 * @param candidates scores by part, of each candidate that was judged; those that lack a part's are left out.
 * @param chosen which of them was chosen.
 * @returns null without two parts, two candidates with all scores, or the chosen one among them.
 */
export function disagreementOf(
  candidates: readonly Readonly<Record<string, number>>[],
  chosen: number,
): Disagreement | null {
  const names = topNames(candidates[chosen] ?? {});
  const isComplete = (scores: Readonly<Record<string, number>>) =>
    names.every((name) => Number.isFinite(scores[name]));
  const complete = candidates.filter(isComplete);
  const at = complete.indexOf(candidates[chosen]!);
  if (names.length < 2 || complete.length < 2 || at < 0) return null;
  const parts = names.map((name) => complete.map((scores) => scores[name]!));
  return {
    deviation: meanDeviation(parts.map(standardised)),
    correlation: leastCorrelation(parts),
    dissenting: names.filter((_, k) => parts[k]![at]! < Math.max(...parts[k]!)),
  };
}

/** What a reader of the answer should know: two parts order the candidates the other way round rather than alike. */
export function warningsOf({ correlation, dissenting }: Disagreement): string[] {
  if (correlation === null || correlation >= 0) return [];
  const others =
    dissenting.length === 0 ? "" : `; ${dissenting.join(", ")} would have chosen another`;
  return [
    `parts of the reward contradict each other (rank correlation ${correlation.toFixed(2)})${others}`,
  ];
}

/** The parts themselves, without those that they are made of. */
function topNames(scores: Readonly<Record<string, number>>): string[] {
  const names = Object.keys(scores);
  return names.filter((name) => !names.some((above) => name.startsWith(`${above}/`)));
}

function standardised(scores: readonly number[]): number[] {
  const { center, scale } = spreadOf(scores);
  return scores.map((score) => (scale === 0 ? 0 : (score - center) / scale));
}

/** @param parts [parts][candidates] */
function meanDeviation(parts: readonly (readonly number[])[]): number {
  const deviations = parts[0]!.map((_, i) => spreadOf(parts.map((scores) => scores[i]!)).scale);
  return spreadOf(deviations).center;
}

function leastCorrelation(parts: readonly (readonly number[])[]): number | null {
  const all = parts
    .flatMap((one, k) => parts.slice(k + 1).map((other) => rankCorrelation(one, other)))
    .filter((correlation) => !Number.isNaN(correlation));
  return all.length === 0 ? null : Math.min(...all);
}

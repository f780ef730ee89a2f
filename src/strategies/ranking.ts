/** Which candidates come first, by numbers of any kind; candidates without a reward come last. */
import { createRandom, type Random, splitSeed } from "../base/random.ts";
import type { Reward } from "../rewards/define.ts";
import type { ScoredCandidate } from "./define.ts";
import { allFailed } from "./demands.ts";

/** One that has its reward. */
export type Judged = ScoredCandidate & { readonly reward: number };

export const isJudged = (candidate: ScoredCandidate): candidate is Judged =>
  candidate.reward !== null;

/**
 * The judged candidates by descending key, ties: the earliest; then those without a reward, which never win but follow
 * where more choices are asked for than were judged.
 */
export function rankedBy(
  candidates: readonly ScoredCandidate[],
  key: (candidate: Judged) => number,
): ScoredCandidate[] {
  const keyed = candidates.filter(isJudged).map((each) => ({ each, key: key(each) }));
  const descending = keyed.toSorted((a, b) => (a.key === b.key ? 0 : b.key - a.key)); // stable
  return [...descending.map(({ each }) => each), ...candidates.filter((each) => !isJudged(each))];
}

/** The highest reward first. @throws GatewayError all_candidates_failed */
export function bestFirst(candidates: readonly ScoredCandidate[]): ScoredCandidate[] {
  judgedOf(candidates);
  return rankedBy(candidates, ({ reward }) => reward);
}

/** At least one. @throws GatewayError all_candidates_failed, with each reason once */
export function judgedOf(candidates: readonly ScoredCandidate[]): readonly Judged[] {
  const judged = candidates.filter(isJudged);
  if (judged.length > 0) return judged;
  throw allFailed(candidates);
}

/** Whether a reward was asked for some candidate and did not come; one that was ended early was not asked about. */
export const someFailed = (candidates: readonly ScoredCandidate[]): boolean =>
  candidates.some((each) => !isJudged(each) && (each.cut === null || each.cut === "budget"));

/** What no reward exceeds: as the request says, else as the reward does; null: nobody knows. */
export function highestReward(asked: number | null, reward: Reward | null): number | null {
  const declared = reward?.range?.[1] ?? Number.POSITIVE_INFINITY;
  return asked ?? (Number.isFinite(declared) ? declared : null);
}

/** Whether no other candidate can have more. */
export const isUnsurpassable = ({ reward }: ScoredCandidate, maxReward: number | null): boolean =>
  maxReward !== null && reward !== null && reward >= maxReward;

export function rangeWarnings(
  candidates: readonly ScoredCandidate[],
  maxReward: number | null,
): string[] {
  if (maxReward === null) return [];
  const highest = Math.max(...candidates.map(({ reward }) => reward ?? Number.NEGATIVE_INFINITY));
  if (highest <= maxReward) return [];
  return [
    `A candidate has the reward ${highest}, above max_reward = ${maxReward}: the search may have ended too early.`,
  ];
}

/** exp((r − max r)/β): in (0, 1], whatever the reward's unit. */
export function tiltedWeights(rewards: readonly number[], beta: number): number[] {
  const highest = Math.max(...rewards);
  return rewards.map((reward) => Math.exp((reward - highest) / beta));
}

/** (Σw)²/Σw²: how many equally weighted candidates tell as much. Source: Kish 1965, Survey Sampling. */
export function effectiveNumber(weights: readonly number[]): number {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return sum ** 2 / weights.reduce((total, weight) => total + weight ** 2, 0);
}

const CHOICE_STREAM = 1 << 20; // no candidate and no wave has this number

/** For choosing among candidates: apart from the streams they were drawn from. */
export const choiceRandom = (seed: number): Random => createRandom(splitSeed(seed, CHOICE_STREAM));

/** What an answer's candidates show, whatever strategy drew them: how far rewards spread, texts differ, length pays. */
import { rankCorrelation, type Spread, spreadOfValues } from "../base/statistics.ts";
import { type Disagreement, disagreementOf } from "../rewards/disagreement.ts";
import type { ScoredCandidate } from "../strategies/define.ts";
import type { HoldoutReport } from "./holdout.ts";

export interface Findings {
  /** Over the judged candidates, those left out that the search cut for being worse: an unfinished answer's reward is another's. */
  readonly rewards: Spread | null;
  /** Of the first choice. */
  readonly chosenReward: number | null;
  /** Of the candidates that the search did not cut: how many there are, and how many texts among them. */
  readonly distinct: { readonly texts: number; readonly of: number };
  /**
   * Spearman's correlation of reward and characters over the candidates of `rewards`; null with fewer than ten, or where
   * either is the same throughout.
   */
  readonly lengthCorrelation: number | null;
  /** Of a reward made of others: how far they disagree about the candidates. */
  readonly disagreement: Disagreement | null;
  readonly holdout: HoldoutReport | null;
}

/** Below it a rank correlation is mostly chance. */
const correlatedMin = 10;

/** @param chosen index of the first choice. */
export function findingsOf(
  candidates: readonly ScoredCandidate[],
  chosen: number,
  holdout: HoldoutReport | null,
): Findings {
  const whole = candidates.filter(({ cut }) => cut === null);
  const judged = candidates.flatMap(({ reward, text, cut }) =>
    reward === null || (cut !== null && cut !== "budget") ? [] : [{ reward, text }],
  );
  const rewards = judged.map(({ reward }) => reward);
  const lengths = judged.map(({ text }) => text.length);
  const correlation = rankCorrelation(rewards, lengths);
  const hasCorrelation = judged.length >= correlatedMin && !Number.isNaN(correlation);
  return {
    rewards: spreadOfValues(rewards),
    chosenReward: candidates[chosen]!.reward,
    distinct: { texts: new Set(whole.map(({ text }) => text)).size, of: whole.length },
    lengthCorrelation: hasCorrelation ? correlation : null,
    disagreement: disagreementOf(
      candidates.map(({ rewardParts = {} }) => rewardParts),
      chosen,
    ),
    holdout,
  };
}

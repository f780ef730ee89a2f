/** What a reader of an answer should know of its candidates and their rewards, whatever strategy drew them. */
import { correlationTail } from "../base/statistics.ts";
import type { RewardFlag } from "../rewards/define.ts";
import { warningsOf as disagreementWarnings } from "../rewards/disagreement.ts";
import type { ScoredCandidate } from "../strategies/define.ts";
import type { Findings } from "./findings.ts";
import type { HoldoutReport } from "./holdout.ts";

/** "strategy": of the strategy's own. */
export type WarningKind =
  | "strategy"
  | "reward-flags"
  | "duplicates"
  | "length"
  | "holdout"
  | "disagreement";

/** One sentence. */
export interface Warning {
  readonly kind: WarningKind;
  readonly text: string;
}

/** Fewer candidates than this say nothing about duplicates. */
const duplicatesFrom = 4;
/** A correlation with length is told from here on, where chance gives as much in one search of a hundred at most. */
const correlationMin = 0.5;
const chanceMax = 0.01;

export function warningsAbout(
  candidates: readonly ScoredCandidate[],
  own: readonly string[],
  findings: Findings,
): Warning[] {
  const { disagreement } = findings;
  const all: Readonly<Record<WarningKind, readonly string[]>> = {
    strategy: own,
    "reward-flags": flagWarnings(candidates),
    duplicates: duplicateWarnings(findings),
    length: lengthWarnings(findings),
    holdout: findings.holdout ? holdoutWarnings(findings.holdout, findings) : [],
    disagreement: disagreement ? disagreementWarnings(disagreement) : [],
  };
  return (Object.keys(all) as WarningKind[]) // exactly its keys
    .flatMap((kind) => all[kind].map((text) => ({ kind, text })));
}

const flagMeanings: Readonly<Record<RewardFlag, string>> = {
  "asked-again": "a judge was unclear at first and asked again",
  "mean-logprob": "a judge was never clear and the answer's likelihood stands for its rating",
};

function flagWarnings(candidates: readonly ScoredCandidate[]): string[] {
  const flagged = candidates.filter(({ rewardFlags }) => rewardFlags !== undefined);
  if (flagged.length === 0) return [];
  const how = Object.entries(flagMeanings).flatMap(([flag, meaning]) => {
    const n = flagged.filter(({ rewardFlags }) =>
      rewardFlags!.some((each) => each === flag),
    ).length;
    return n === 0 ? [] : [`${meaning} (${n})`];
  });
  const judged = candidates.filter(({ reward }) => reward !== null).length;
  return [
    `${flagged.length} of ${judged} rewards came about in another way than usual: ${how.join("; ")}.`,
  ];
}

/** No more than half of the whole candidates differ. */
function duplicateWarnings({ distinct: { texts, of } }: Findings): string[] {
  if (of < duplicatesFrom || texts > of / 2) return [];
  return [
    `Only ${texts} of ${of} candidates differ: more of them gain little; a higher temperature draws others.`,
  ];
}

function lengthWarnings({ lengthCorrelation, rewards }: Findings): string[] {
  if (lengthCorrelation === null || rewards === null) return [];
  if (Math.abs(lengthCorrelation) < correlationMin) return [];
  if (correlationTail(lengthCorrelation, rewards.n) >= chanceMax) return [];
  const direction = lengthCorrelation > 0 ? "longer" : "shorter";
  return [
    `The reward prefers ${direction} answers here: its rank correlation with length is ${lengthCorrelation.toFixed(2)} over ${rewards.n} candidates.`,
  ];
}

function holdoutWarnings(
  { reward, spread, chosen, scores, problems }: HoldoutReport,
  { rewards, chosenReward }: Findings,
): string[] {
  const missing = [...scores.values()].filter((score) => score === null).length;
  const failed = `The held-out reward '${reward}' judged ${scores.size - missing} of ${scores.size} candidates: ${problems.join("; ")}.`;
  const isContradicted =
    rewards !== null &&
    spread !== null &&
    chosenReward !== null &&
    chosen !== null &&
    chosenReward > rewards.mean &&
    chosen < spread.mean;
  return [
    ...(missing > 0 ? [failed] : []),
    ...(isContradicted
      ? [
          `The chosen answer is above the candidates' mean by its reward (${shown(chosenReward)} against ${shown(rewards.mean)}) and below it by the held-out reward '${reward}' (${shown(chosen)} against ${shown(spread.mean)}): the search may exploit its reward.`,
        ]
      : []),
  ];
}

const shown = (value: number) => String(Number(value.toPrecision(3)));

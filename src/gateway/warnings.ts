/** What a reader of an answer should know of its candidates and their rewards, whatever strategy drew them. */
import type { RewardFlag } from "../rewards/define.ts";
import type { ScoredCandidate } from "../strategies/define.ts";

/** One sentence each. */
export function warningsAbout(candidates: readonly ScoredCandidate[]): string[] {
  return [...flagWarnings(candidates)];
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

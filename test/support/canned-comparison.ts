/** A reward that only compares, by a function of two texts, and remembers what was asked of it. */
import type { PairwiseReward } from "../../src/rewards/define.ts";
import { cannedReward } from "./canned-reward.ts";

export interface CannedComparison extends PairwiseReward {
  readonly pairs: readonly (readonly [string, string])[];
  /** Sessions opened and not yet closed. */
  openSessions(): number;
}

export function cannedComparison(
  prefer: (a: string, b: string, signal: AbortSignal) => number | Promise<number>,
  id = "pairs",
): CannedComparison {
  const alone = cannedReward(() => Number.NaN, id);
  const pairs: (readonly [string, string])[] = [];
  return {
    id,
    revision: alone.revision,
    acceptsPrefixes: false,
    comparesPairs: true,
    scoresAlone: false,
    pairs,
    openSessions: () => alone.openSessions(),
    open(prompt, signal) {
      return {
        ...alone.open(prompt, signal),
        async compare(a, b) {
          pairs.push([a, b]);
          return prefer(a, b, signal);
        },
      };
    },
  };
}

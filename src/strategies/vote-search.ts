/** What votes share: draw, count, commit. How much a candidate's vote weighs is the strategy's. */
import type { ScoredCandidate, StrategyInput, StrategyResult } from "./define.ts";
import { drawAndScore } from "./draw.ts";
import { bestOfNBound } from "./kl.ts";
import { Commits, type Emit } from "./search.ts";
import {
  answerReader,
  type Ballot,
  countVotes,
  isSettled,
  type Party,
  voteDetails,
} from "./votes.ts";

export interface Election extends Ballot {
  readonly n: number;
  readonly early: boolean;
}

export interface Franchise {
  /** Of each candidate's vote, given those that are judged so far; null: it has none. */
  readonly weights: (
    seen: readonly ScoredCandidate[],
  ) => (candidate: ScoredCandidate) => number | null;
  /** The most a candidate that is still out can weigh; ∞ where that is unknown: the vote is settled at the end. */
  readonly heaviest: (seen: readonly ScoredCandidate[]) => number;
  /** A party's members, who speaks for it first. */
  readonly spokesmen: (party: Party) => readonly ScoredCandidate[];
  /** Who answers after those that have a vote, and where nobody has one. */
  readonly others: (candidates: readonly ScoredCandidate[]) => readonly ScoredCandidate[];
}

/**
 * Draws n candidates and answers for the heaviest party. One choice is final as soon as the vote is settled, and those
 * that still decode then end; further choices speak for the next parties, then for the same again.
 */
export async function elect(
  input: StrategyInput,
  { n, early, ...ballot }: Election,
  { emit, ...franchise }: Franchise & { readonly emit: Emit },
): Promise<StrategyResult> {
  const commits = new Commits(input.choices, emit);
  const answerOf = answerReader(ballot);
  const count = (seen: readonly ScoredCandidate[]) =>
    countVotes(seen, answerOf, franchise.weights(seen));
  const seen: ScoredCandidate[] = [];
  const onJudged = (candidate: ScoredCandidate) => {
    if (commits.areMade || candidate.cut === "decided") return;
    seen.push(candidate);
    if (!early || input.choices > 1 || seen.length === n) return;
    const parties = count(seen);
    if (!isSettled(parties, (n - seen.length) * franchise.heaviest(seen))) return;
    commits.commit(franchise.spokesmen(parties[0]!)[0]!);
  };
  const candidates = await drawAndScore(input, n, {
    signal: input.signal,
    emit,
    onText: (index, text) => emit({ type: "candidate-delta", index, text }),
    cut: commits.cut,
    onJudged,
  });
  const isEarly = commits.areMade;
  const parties = count(isEarly ? seen : candidates);
  for (const candidate of inTurns(parties.map(franchise.spokesmen))) commits.commit(candidate);
  for (const candidate of franchise.others(candidates)) commits.commit(candidate);
  return {
    candidates,
    chosen: commits.chosen,
    kl: { bound: bestOfNBound(n), estimate: null },
    stopped: isEarly ? "decided" : (input.budget.spent ?? "complete"),
    warnings: parties.length > 0 ? [] : [noVotes(n, ballot)],
    details: voteDetails(parties),
  };
}

/** The first of each, then the second of each, … */
function inTurns<T>(lists: readonly (readonly T[])[]): T[] {
  const longest = Math.max(0, ...lists.map(({ length }) => length));
  return Array.from({ length: longest }, (_, turn) =>
    lists.flatMap((list) => (turn < list.length ? [list[turn]!] : [])),
  ).flat();
}

const noVotes = (n: number, { answer }: Ballot) =>
  `None of the ${n} candidates has an answer to count (alignment.answer is '${answer}'): there was no vote.`;

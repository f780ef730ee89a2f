/** Votes over the final answers of candidates: what counts as one answer, who is ahead, when that is settled. */
import { Type } from "typebox";
import { answerPlaces, canonical, finalAnswer } from "../rewards/answers.ts";
import type { ScoredCandidate } from "./define.ts";

/** Options of every strategy that votes. */
export const ballotOptions = {
  answer: Type.Enum([...answerPlaces], {
    default: "auto",
    description:
      "where a text's answer stands: auto, whole, last-line, last-number, boxed, hashes, tag, marker",
  }),
  marker: Type.String({
    minLength: 1,
    default: "Answer:",
    description: "what the answer follows, for `answer: marker`",
  }),
};

export interface Ballot {
  readonly answer: (typeof answerPlaces)[number];
  readonly marker: string;
}

/** All candidates with one answer. */
export interface Party {
  readonly weight: number;
  /** In order of index. */
  readonly members: readonly ScoredCandidate[];
}

/** The canonical answer of each candidate, read once. */
export function answerReader({ answer, marker }: Ballot) {
  const known = new Map<number, string | null>();
  return ({ index, text }: ScoredCandidate): string | null => {
    if (!known.has(index)) {
      const found = finalAnswer(text, { from: answer, marker });
      known.set(index, found === null ? null : canonical(found));
    }
    return known.get(index)!;
  };
}

/**
 * Parties by descending weight; ties: the one whose first member is earliest. A text without an answer does not vote,
 * nor does one that the search ended, nor one that ran into its length while another finished: it may have been about
 * to say something else.
 * @param weightOf null: the candidate has no vote.
 */
export function countVotes(
  candidates: readonly ScoredCandidate[],
  answerOf: (candidate: ScoredCandidate) => string | null,
  weightOf: (candidate: ScoredCandidate) => number | null,
): readonly Party[] {
  const voters = votersAmong(candidates.filter((each) => weightOf(each) !== null));
  const parties = new Map<string, ScoredCandidate[]>();
  for (const voter of voters.toSorted((a, b) => a.index - b.index)) {
    const answer = answerOf(voter);
    if (answer === null) continue;
    const party = parties.get(answer);
    if (party) party.push(voter);
    else parties.set(answer, [voter]);
  }
  return [...parties.values()]
    .map((members) => ({
      members,
      weight: members.reduce((sum, each) => sum + weightOf(each)!, 0),
    }))
    .toSorted((a, b) => b.weight - a.weight); // stable: first seen stays first
}

export function votersAmong<C extends ScoredCandidate>(candidates: readonly C[]): readonly C[] {
  const finished = candidates.filter(isFinished);
  return finished.length > 0 ? finished : candidates.filter(({ cut }) => cut !== "decided");
}

const isFinished = ({ finishReason, cut }: ScoredCandidate) =>
  finishReason === "stop" && cut === null;

/**
 * Whether no outcome of those that are still out changes the first place. Weights must not be negative.
 * @param left the most that those still out can weigh together.
 */
export function isSettled([first, second]: readonly Party[], left: number): boolean {
  if (!first || !isFinished(first.members[0]!)) return false; // the first to finish takes the vote from the others
  return first.weight > (second?.weight ?? 0) + left;
}

/** Figures of a vote for the report: the winner's share of all weight, and how many different answers there were. */
export function voteDetails(parties: readonly Party[]): Readonly<Record<string, number>> {
  const total = parties.reduce((sum, { weight }) => sum + weight, 0);
  const share = total > 0 ? parties[0]!.weight / total : 0;
  return { share, answers: parties.length };
}

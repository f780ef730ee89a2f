/**
 * Majority vote (self-consistency): draws n candidates and returns the first whose canonical answer is the most
 * frequent, argmax_a Σᵢ 1[answer(yᵢ) = a]; ties: the answer seen first. What is an answer, and which are the same, is
 * `rewards/answers.ts`'s. Unfinished texts have no vote while a finished one has.
 * A reward, where one is named, is only reported.
 * Cost: n generations in one batch; with `early` fewer: those that decode when the rest can no longer change the outcome
 * end there. The answer is the same, its wording the first that had come.
 * Final: when the vote is settled, or after the last candidate. Details: `share` of the votes, `answers` that differ.
 * KL ≤ ln n − (n − 1)/n: see `bestOfNBound`.
 * Source: Wang et al., arXiv:2203.11171.
 */
import { Type } from "typebox";
import { defineStrategy } from "./define.ts";
import { demandChoices } from "./demands.ts";
import { searchEvents } from "./search.ts";
import { elect } from "./vote-search.ts";
import { ballotOptions } from "./votes.ts";

export const majorityVote = defineStrategy({
  name: "majority-vote",
  description: "Draws n candidates and returns one with the most frequent final answer.",
  needsReward: false,
  options: Type.Object({
    n: Type.Integer({ minimum: 1, maximum: 128, default: 16, description: "candidates to draw" }),
    ...ballotOptions,
    early: Type.Boolean({ default: true, description: "whether it ends when the vote is settled" }),
  }),
  async *run(input, options) {
    demandChoices("majority-vote", input.choices, options.n);
    yield* searchEvents(input, (searched, emit) =>
      elect(searched, options, {
        emit,
        weights: () => () => 1,
        heaviest: () => 1,
        spokesmen: ({ members }) => members,
        others: (candidates) => candidates,
      }),
    );
  },
});

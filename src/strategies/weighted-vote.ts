/**
 * Weighted vote: draws n candidates and returns the best of those with the canonical answer a that maximises
 * Σᵢ w(rᵢ)·1[answer(yᵢ) = a]; ties: the answer seen first. Within it the highest reward speaks. `weight` says w:
 *   exp      exp(r/β): as n grows the most probable answer under π·exp(r/β)/Z; β → ∞ is the majority vote, β → 0 best-of-n;
 *   sigmoid  1/(1 + exp(−r/β)): a Bradley-Terry reward as the probability to beat an answer of reward 0;
 *   raw      r, as published, for rewards in [0, 1]. NOTE: below 0 a frequent answer loses by being frequent.
 * A candidate without a reward has no vote, nor has an unfinished one while a finished one votes.
 * Cost: n generations in one batch + n reward evaluations; with `early` fewer, where the most a candidate can weigh is
 * known: always for sigmoid, for exp with `max_reward` or a reward that declares its range, never for raw.
 * Final: when the vote is settled, or after the last candidate is judged. Details: `share` of all weight, `answers`.
 * KL ≤ ln n − (n − 1)/n: see `bestOfNBound`.
 * Sources: Li et al., arXiv:2206.02336 (votes weighted by a verifier); Beeching et al. 2024, search-and-learn.
 */
import { Type } from "typebox";
import { defineStrategy, type ScoredCandidate } from "./define.ts";
import { demandChoices } from "./demands.ts";
import {
  bestFirst,
  highestReward,
  isJudged,
  type Judged,
  rangeWarnings,
  someFailed,
} from "./ranking.ts";
import { searchEvents } from "./search.ts";
import { type Election, elect, type Franchise } from "./vote-search.ts";
import { ballotOptions, votersAmong } from "./votes.ts";

interface Options extends Election {
  readonly weight: "exp" | "sigmoid" | "raw";
  readonly beta: number;
  readonly max_reward: number | null;
}

export const weightedVote = defineStrategy({
  name: "weighted-vote",
  description:
    "Draws n candidates and returns the best of those whose final answer has the most weight by reward.",
  needsReward: true,
  options: Type.Object({
    n: Type.Integer({ minimum: 1, maximum: 128, default: 16, description: "candidates to draw" }),
    weight: Type.Enum(["exp", "sigmoid", "raw"], {
      default: "exp",
      description: "exp(reward/beta), 1/(1 + exp(−reward/beta)), or the reward itself",
    }),
    beta: Type.Number({
      exclusiveMinimum: 0,
      default: 1,
      description: "temperature of exp and sigmoid; in the reward's unit",
    }),
    ...ballotOptions,
    early: Type.Boolean({ default: true, description: "whether it ends when the vote is settled" }),
    max_reward: Type.Union([Type.Number(), Type.Null()], {
      default: null,
      description:
        "the reward's highest value, which lets exp end early; null takes what the reward declares",
    }),
  }),
  async *run(input, options) {
    demandChoices("weighted-vote", input.choices, options.n);
    yield* searchEvents(input, async (searched, emit) => {
      const { n, answer, marker, early } = options;
      const maxReward = highestReward(options.max_reward, input.reward);
      const election = { n, answer, marker, early };
      const result = await elect(searched, election, {
        emit,
        ...franchiseOf({ ...options, max_reward: maxReward }),
      });
      const { candidates, warnings } = result;
      const kl = someFailed(candidates) ? { bound: null, estimate: null } : result.kl;
      return { ...result, kl, warnings: [...warnings, ...rangeWarnings(candidates, maxReward)] };
    });
  },
});

function franchiseOf({ weight, beta, max_reward: maxReward }: Options): Franchise {
  return {
    weights(seen) {
      const top = topOf(seen);
      const weightOf = ({ reward }: Judged) => {
        if (weight === "raw") return reward;
        return weight === "exp" ? Math.exp((reward - top) / beta) : sigmoid(reward / beta);
      };
      return (candidate) => (isJudged(candidate) ? weightOf(candidate) : null);
    },
    heaviest(seen) {
      if (weight === "sigmoid") return maxReward === null ? 1 : sigmoid(maxReward / beta);
      if (weight === "raw" || maxReward === null) return Number.POSITIVE_INFINITY;
      return Math.exp((maxReward - topOf(seen)) / beta);
    },
    spokesmen: ({ members }) => bestFirst(members),
    others: bestFirst,
  };
}

/** What weights of exp are measured against: their ratios are the same, the heaviest voter's does not underflow. */
function topOf(seen: readonly ScoredCandidate[]): number {
  return Math.max(...votersAmong(seen.filter(isJudged)).map(({ reward }) => reward));
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

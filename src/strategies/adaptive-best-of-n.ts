/**
 * Adaptive best-of-n: draws candidates in waves and returns the one with the highest reward. It stops
 *   "decided"  when a candidate has `max_reward`, or the highest value that the reward declares: it cannot be surpassed, is
 *              final at once and ends the rest;
 *   "price"    after a wave when another would gain less than `price` per token:
 *              G < price · w · (mean tokens of a candidate), G the expected gain of w more (see `improvement.ts`):
 *              `normal`  expected improvement under the normal law fitted to the rewards so far;
 *              `record`  what the last wave brought over all orders of the rewards so far, an upper bound, any law;
 *   else at n ("complete") or with the budget.
 * Cost: between one wave and n generations, and as many reward evaluations. Later waves wait for the verdicts on
 * earlier ones, so that it is slower than best-of-n where it does not stop.
 * Final: after the last wave, but for `max_reward`. Details: `waves`, and `gain_per_token` of the wave that was not drawn.
 * KL ≤ ln n − (n − 1)/n with n the most it may draw, whatever stops it: see `bestOfNBound`.
 * Source: expected improvement as a stopping rule, Weitzman 1979, Econometrica 47:641 (search until the gain is worth
 * less than its cost).
 */
import { Type } from "typebox";
import {
  defineStrategy,
  type ScoredCandidate,
  type StrategyInput,
  type StrategyResult,
} from "./define.ts";
import { demandChoices } from "./demands.ts";
import { normalGain, recordGain } from "./improvement.ts";
import { bestOfNBound } from "./kl.ts";
import {
  bestFirst,
  highestReward,
  isJudged,
  isUnsurpassable,
  rangeWarnings,
  someFailed,
} from "./ranking.ts";
import { Commits, type Emit, searchEvents } from "./search.ts";
import { drawInWaves } from "./waves.ts";

interface Options {
  readonly n: number;
  readonly wave: number;
  readonly price: number;
  readonly gain: "normal" | "record";
  readonly max_reward: number | null;
}

export const adaptiveBestOfN = defineStrategy({
  name: "adaptive-best-of-n",
  description:
    "Draws candidates in waves until another is not worth its tokens; returns the one with the highest reward.",
  needsReward: true,
  options: Type.Object({
    n: Type.Integer({ minimum: 1, maximum: 128, default: 32, description: "candidates at most" }),
    wave: Type.Integer({ minimum: 1, maximum: 64, default: 4, description: "candidates a wave" }),
    price: Type.Number({
      minimum: 0,
      default: 0.001,
      description: "reward that a token must gain to be drawn; 0 draws all n",
    }),
    gain: Type.Enum(["normal", "record"], {
      default: "normal",
      description:
        "how the gain of another wave is estimated: rewards are normal, or any law's records",
    }),
    max_reward: Type.Union([Type.Number(), Type.Null()], {
      default: null,
      description:
        "the reward's highest value: a candidate that reaches it ends the search; null takes what the reward declares",
    }),
  }),
  async *run(input, options) {
    demandChoices("adaptive-best-of-n", input.choices, options.n);
    yield* searchEvents(input, (searched, emit) => search(searched, options, emit));
  },
});

async function search(input: StrategyInput, given: Options, emit: Emit): Promise<StrategyResult> {
  const maxReward = highestReward(given.max_reward, input.reward);
  const options = { ...given, max_reward: maxReward };
  const { n, wave, price } = options;
  const commits = new Commits(input.choices, emit);
  let waves = 1;
  const isPriced = (drawn: readonly ScoredCandidate[]) => gainPerToken(drawn, options) < price;
  const candidates = await drawInWaves(input, {
    n,
    wave,
    emit,
    cut: commits.cut,
    onJudged: (candidate) => {
      if (isUnsurpassable(candidate, maxReward)) commits.commit(candidate);
    },
    isEnough: (drawn) => {
      const isEnough = commits.areMade || isPriced(drawn);
      if (!isEnough) waves += 1;
      return isEnough;
    },
  });
  const isDecided = commits.areMade;
  for (const candidate of bestFirst(candidates)) commits.commit(candidate);
  const gained = gainPerToken(candidates, options);
  return {
    candidates,
    chosen: commits.chosen,
    kl: { bound: someFailed(candidates) ? null : bestOfNBound(n), estimate: null },
    stopped: isDecided
      ? "decided"
      : (input.budget.spent ?? (candidates.length < n ? "price" : "complete")),
    warnings: rangeWarnings(candidates, maxReward),
    details: { waves, ...(Number.isFinite(gained) && { gain_per_token: gained }) },
  };
}

/** ∞ while there are too few rewards to tell. */
function gainPerToken(
  drawn: readonly ScoredCandidate[],
  { wave, gain, max_reward: maxReward }: Options,
): number {
  const rewards = drawn.filter(isJudged).map(({ reward }) => reward);
  if (rewards.length < 2) return Number.POSITIVE_INFINITY;
  const tokens = drawn.reduce((sum, candidate) => sum + candidate.tokens.length, 0);
  const gained =
    gain === "normal" ? normalGain(rewards, { wave, maxReward }) : recordGain(rewards, wave);
  return gained / (wave * (tokens / drawn.length));
}

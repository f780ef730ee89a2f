/**
 * Best-of-N: draw n independent completions, return the one with the highest reward.
 * Cost: n generations in one batch + n reward evaluations, each made while the others still decode;
 * nothing can stream as final before the last candidate is judged.
 * KL(best-of-n ‖ sampling law) ≤ ln n − (n − 1)/n — a bound, not an identity: Beirami et al.,
 * arXiv:2401.01879. With several choices both KL figures are those of the first, which is best-of-n's
 * answer however many follow it.
 */
import { Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { eventStream } from "../base/event-stream.ts";
import type { TextSampling } from "../registry/types.ts";
import {
  defineStrategy,
  type ScoredCandidate,
  type StrategyEvent,
  type StrategyResult,
} from "./define.ts";
import { drawAndScore } from "./draw.ts";
import { bestOfNBound, bestOfNEstimate, drawsFromModel } from "./kl.ts";

export const bestOfN = defineStrategy({
  name: "best-of-n",
  description: "Draws n candidates at once and returns the one with the highest reward.",
  needsReward: true,
  options: Type.Object({
    n: Type.Integer({ minimum: 1, maximum: 128, default: 16, description: "candidates to draw" }),
  }),
  async *run(input, { n }) {
    if (input.choices > n) throw tooManyChoices(input.choices, n);
    const candidates = yield* eventStream<StrategyEvent, ScoredCandidate[]>(
      input.signal,
      (emit, signal) =>
        drawAndScore(input, n, {
          signal,
          emit,
          onText: (index, text) => emit({ type: "candidate-delta", index, text }),
        }),
    );
    const chosen = bestFirst(candidates).slice(0, input.choices);
    for (const [choice, index] of chosen.entries()) {
      const { text, tokens } = candidates[index]!;
      yield { type: "text-delta", choice, text, tokens };
    }
    const kl = klOf(candidates, chosen[0]!, input.sampling);
    const stopped = input.budget.spent ?? "complete";
    yield { type: "done", result: { candidates, chosen, kl, stopped, warnings: [] } };
  },
});

/**
 * Indices of the judged candidates, highest reward first; ties: the earliest. A candidate without a
 * reward never wins, but follows the judged ones where more choices are asked for than were judged.
 * @throws GatewayError all_candidates_failed
 */
function bestFirst(candidates: readonly ScoredCandidate[]): number[] {
  if (candidates.every(({ reward }) => reward === null)) throw allFailed(candidates);
  const rank = ({ reward }: ScoredCandidate) => reward ?? Number.NEGATIVE_INFINITY;
  return candidates
    .toSorted((a, b) => (rank(a) === rank(b) ? 0 : rank(b) - rank(a))) // a stable sort
    .map(({ index }) => index);
}

/**
 * Both null when a candidate went unjudged: the winner's law is then conditional on being judged, and
 * neither figure covers that. The estimate also needs the probability the answer was drawn with, which
 * its log-probability is only when sampling draws from the model's own law.
 */
function klOf(
  candidates: readonly ScoredCandidate[],
  best: number,
  sampling: TextSampling,
): StrategyResult["kl"] {
  if (candidates.some(({ reward }) => reward === null)) return { bound: null, estimate: null };
  const n = candidates.length;
  const { logprob } = candidates[best]!;
  return {
    bound: bestOfNBound(n),
    estimate: drawsFromModel(sampling) ? bestOfNEstimate(n, logprob) : null,
  };
}

function tooManyChoices(choices: number, n: number): GatewayError {
  const problem = `best-of-n draws ${n} candidates and cannot return ${choices} of them; raise alignment.n or lower n`;
  return new GatewayError("invalid_request", { param: "n", problem });
}

function allFailed(candidates: readonly ScoredCandidate[]): GatewayError {
  const reasons = new Set(
    candidates.map(({ rewardProblem }) => rewardProblem ?? "no reason given"),
  );
  return new GatewayError("all_candidates_failed", { n: candidates.length, reasons: [...reasons] });
}

/**
 * Rejection: draws candidates in waves and answers with the first, in order, whose reward reaches the threshold τ: its
 * law is π(y | r(y) ≥ τ). τ is `threshold`, or where there is none the prompt's own: the `quantile` (type 7 of Hyndman &
 * Fan 1996) of the rewards of the first `pilot` candidates, which only measure and are not accepted themselves, so that
 * the law given τ stays exact. τ = −∞ is sampling.
 * When none of n passes the answer is the best of all, pilots included, with a warning and `stopped` other than
 * "accepted".
 * Cost: one wave at least, n at most; as many reward evaluations.
 * Final: as soon as a candidate passes and all before it are judged and fail; those that still decode then end. A later
 * candidate never wins by being shorter.
 * Details: `threshold`, and `acceptance`, the share that passed of those that were judged against it.
 * KL ≤ ln n − (n − 1)/n: see `bestOfNBound`; for large n it is −ln P(r ≥ τ).
 */
import { Type } from "typebox";
import type { GatewayError } from "../base/errors.ts";
import { quantileOfSorted } from "../base/statistics.ts";
import {
  defineStrategy,
  type ScoredCandidate,
  type StrategyInput,
  type StrategyResult,
} from "./define.ts";
import { demandChoices, refusal } from "./demands.ts";
import { bestOfNBound } from "./kl.ts";
import { bestFirst, isJudged, someFailed } from "./ranking.ts";
import { Commits, type Emit, searchEvents } from "./search.ts";
import { drawInWaves } from "./waves.ts";

interface Options {
  readonly n: number;
  readonly wave: number;
  readonly threshold: number | null;
  readonly quantile: number;
  readonly pilot: number;
}

export const rejection = defineStrategy({
  name: "rejection",
  description:
    "Draws candidates until one's reward reaches a threshold; returns the first that does.",
  needsReward: true,
  options: Type.Object({
    n: Type.Integer({
      minimum: 1,
      maximum: 128,
      default: 16,
      description: "candidates at most, pilots included",
    }),
    wave: Type.Integer({ minimum: 1, maximum: 64, default: 4, description: "candidates a wave" }),
    threshold: Type.Union([Type.Number(), Type.Null()], {
      default: null,
      description: "reward to reach; null takes a quantile of the prompt's own rewards",
    }),
    quantile: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0.75,
      description: "share of the pilots' rewards that lie below the threshold",
    }),
    pilot: Type.Integer({
      minimum: 1,
      maximum: 64,
      default: 4,
      description: "candidates that only set the threshold",
    }),
  }),
  async *run(input, options) {
    const { n, threshold, pilot } = options;
    demandChoices("rejection", input.choices, n);
    if (threshold === null && pilotsOf(input, options) >= n) throw onlyPilots(pilot, n);
    yield* searchEvents(input, (searched, emit) => search(searched, options, emit));
  },
});

async function search(input: StrategyInput, options: Options, emit: Emit): Promise<StrategyResult> {
  const { n, wave } = options;
  const commits = new Commits(input.choices, emit);
  const pilots = options.threshold === null ? pilotsOf(input, options) : 0;
  const judge = new Judge(options.threshold, pilots, (candidate) => commits.commit(candidate));
  const candidates = await drawInWaves(input, {
    n,
    wave,
    first: pilots || wave,
    emit,
    cut: commits.cut,
    onJudged: (candidate) => judge.take(candidate),
    isEnough: (drawn) => {
      judge.measure(drawn, options.quantile);
      return commits.areMade;
    },
  });
  const accepted = commits.chosen.length;
  for (const candidate of bestFirst(candidates)) commits.commit(candidate);
  const { threshold, tried } = judge;
  const isAccepted = accepted === input.choices;
  return {
    candidates,
    chosen: commits.chosen,
    kl: { bound: someFailed(candidates) ? null : bestOfNBound(n), estimate: null },
    stopped: input.budget.spent ?? (isAccepted ? "accepted" : "complete"),
    warnings: isAccepted ? [] : [notAccepted(accepted, threshold, candidates.length)],
    details: {
      ...(Number.isFinite(threshold) && { threshold }),
      ...(tried > 0 && { acceptance: judge.passed / tried }),
    },
  };
}

const pilotsOf = ({ choices }: StrategyInput, { pilot }: Options) => Math.max(pilot, choices);

/** Judges candidates in order of index, in whatever order their rewards come. */
class Judge {
  /** ∞ until it is known: nothing passes. */
  threshold: number;
  tried = 0;
  passed = 0;
  readonly #onPass: (candidate: ScoredCandidate) => void;
  readonly #waiting = new Map<number, ScoredCandidate>();
  #next: number;

  constructor(
    threshold: number | null,
    pilots: number,
    onPass: (candidate: ScoredCandidate) => void,
  ) {
    this.threshold = threshold ?? Number.POSITIVE_INFINITY;
    this.#next = pilots;
    this.#onPass = onPass;
  }

  /** The pilots' quantile, once, where no threshold was given. */
  measure(pilots: readonly ScoredCandidate[], quantile: number): void {
    if (this.threshold !== Number.POSITIVE_INFINITY) return;
    const rewards = pilots.filter(isJudged).map(({ reward }) => reward);
    if (rewards.length === 0) return;
    this.threshold = quantileOfSorted(
      rewards.toSorted((a, b) => a - b),
      quantile,
    );
  }

  take(candidate: ScoredCandidate): void {
    this.#waiting.set(candidate.index, candidate);
    for (let next = this.#waiting.get(this.#next); next; next = this.#waiting.get(this.#next)) {
      this.#waiting.delete(this.#next++);
      if (!isJudged(next)) continue;
      this.tried += 1;
      if (next.reward < this.threshold) continue;
      this.passed += 1;
      this.#onPass(next);
    }
  }
}

function notAccepted(accepted: number, threshold: number, drawn: number): string {
  if (!Number.isFinite(threshold)) {
    return `The search ended before there was a threshold: the best of ${drawn} candidates answers.`;
  }
  const who = accepted === 0 ? "No candidate" : `Only ${accepted} of the choices`;
  return `${who} reached the threshold of ${threshold}: the best of ${drawn} candidates fill the place.`;
}

function onlyPilots(pilot: number, n: number): GatewayError {
  const problem = `${pilot} pilots of ${n} candidates (and at least one a choice) leave none to accept; raise alignment.n, or set alignment.threshold`;
  return refusal("pilot", problem);
}

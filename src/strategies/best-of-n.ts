/**
 * Best-of-N: draw n independent candidates, return one of them by its reward r. `choose` says which:
 *   argmax       the highest r;
 *   tilted       one with probability ∝ exp(r/β): its law tends to π·exp(r/β)/Z as n grows (self-normalised importance
 *                resampling; β → 0 is argmax, β → ∞ is sampling). Detail `effective_candidates` = (Σw)²/Σw²;
 *   regularised  the highest r − β·ln(π/π_ref), π_ref being the served policy `reference`: likely answers that π_ref
 *                finds unlikely lose. The objective of Ziegler et al., arXiv:1909.08593, eq. 2, on each candidate.
 *   knockout, round-robin   who wins a tournament by a reward that compares two answers: see `tournament.ts`.
 * Cost: n generations in one batch + n reward evaluations, each made while the others still decode; regularised also
 * reads every candidate once with the reference; knockout n − 1 comparisons, round-robin n(n − 1)/2, after the last.
 * Final: after the last candidate is judged. With `max_reward` (argmax only), or where the reward declares its range, a
 * candidate that reaches the highest value is final at once and ends the rest: nothing can surpass it. Among several that
 * would reach it the first to be judged wins, which favours short ones and is chance among equals; with `early` false all
 * are drawn, the earliest in order wins, and the same seed gives the same answer.
 * KL(answer ‖ sampling law) ≤ ln n − (n − 1)/n for each: see `bestOfNBound`. With several choices both KL figures are
 * those of the first.
 */
import { Type } from "typebox";
import type { Policy } from "../registry/types.ts";
import type { PairwiseReward } from "../rewards/define.ts";
import {
  defineStrategy,
  type ScoredCandidate,
  type StrategyInput,
  type StrategyResult,
} from "./define.ts";
import { demandChoices, demandPairs, demandSameTokens, refusal } from "./demands.ts";
import { drawAndScore } from "./draw.ts";
import { bestOfNBound, bestOfNEstimate, drawsFromModel } from "./kl.ts";
import {
  bestFirst,
  choiceRandom,
  effectiveNumber,
  highestReward,
  isUnsurpassable,
  judgedOf,
  rangeWarnings,
  rankedBy,
  someFailed,
  tiltedWeights,
} from "./ranking.ts";
import { Commits, type Emit, searchEvents } from "./search.ts";
import { holdTournament, tournaments } from "./tournament.ts";

interface Options {
  readonly n: number;
  readonly choose: "argmax" | "tilted" | "regularised" | (typeof tournaments)[number];
  readonly beta: number;
  readonly reference: string | null;
  readonly max_reward: number | null;
  readonly early: boolean;
}

/** Those that choose by the reward of each. */
interface Scoring extends Options {
  readonly choose: Exclude<Options["choose"], (typeof tournaments)[number]>;
}

export const bestOfN = defineStrategy({
  name: "best-of-n",
  description: "Draws n candidates at once and returns the one with the highest reward.",
  needsReward: true,
  options: Type.Object({
    n: Type.Integer({ minimum: 1, maximum: 128, default: 16, description: "candidates to draw" }),
    choose: Type.Enum(["argmax", "tilted", "regularised", ...tournaments], {
      default: "argmax",
      description:
        "argmax: the highest reward; tilted: one with probability ∝ exp(reward/beta); regularised: the highest reward − beta·ln(π/π_ref); knockout, round-robin: by a reward that compares answers in pairs, n − 1 or n(n − 1)/2 times",
    }),
    beta: Type.Number({
      exclusiveMinimum: 0,
      default: 1,
      description: "temperature of tilted, weight of regularised; in the reward's unit",
    }),
    reference: Type.Union([Type.String({ minLength: 1 }), Type.Null()], {
      default: null,
      description: "id of the served policy that regularised compares with",
    }),
    max_reward: Type.Union([Type.Number(), Type.Null()], {
      default: null,
      description:
        "the reward's highest value: a candidate that reaches it ends the search; null takes what the reward declares",
    }),
    early: Type.Boolean({
      default: true,
      description: "end at a candidate that has the highest value; false draws all n",
    }),
  }),
  compares: ({ choose }) => isTournament(choose),
  async *run(input, options) {
    const { choose, n } = options;
    demandChoices("best-of-n", input.choices, n);
    refuseContradictions(input, options);
    if (isTournament(choose)) {
      const reward = demandPairs(`best-of-n's ${choose}`, input.reward);
      yield* searchEvents(input, (searched, emit) =>
        compete(searched, { n, kind: choose, reward }, emit),
      );
    } else
      yield* searchEvents(input, (searched, emit) =>
        search(searched, { ...options, choose }, emit),
      );
  },
});

async function search(input: StrategyInput, options: Scoring, emit: Emit): Promise<StrategyResult> {
  const { n, choose, early } = options;
  const canEnd = early && choose === "argmax";
  const maxReward = canEnd ? highestReward(options.max_reward, input.reward) : null;
  const commits = new Commits(input.choices, emit);
  const candidates = await drawAndScore(input, n, {
    signal: input.signal,
    emit,
    onText: (index, text) => emit({ type: "candidate-delta", index, text }),
    cut: commits.cut,
    onJudged: (candidate) => {
      if (isUnsurpassable(candidate, maxReward)) commits.commit(candidate);
    },
  });
  const isDecided = commits.areMade;
  const { order, details } = await ordered(input, options, candidates);
  for (const candidate of order) commits.commit(candidate);
  const { chosen } = commits;
  return {
    candidates,
    chosen,
    kl: klOf(candidates, candidates[chosen[0]!]!, { input, isArgmax: choose === "argmax" }),
    stopped: isDecided ? "decided" : (input.budget.spent ?? "complete"),
    warnings: rangeWarnings(candidates, maxReward),
    ...(details && { details }),
  };
}

const isTournament = (choose: Options["choose"]): choose is (typeof tournaments)[number] =>
  tournaments.some((kind) => kind === choose);

interface Competition {
  readonly n: number;
  readonly kind: (typeof tournaments)[number];
  readonly reward: PairwiseReward;
}

/** Candidates are announced unjudged: what compares has no number for one. */
async function compete(
  input: StrategyInput,
  { n, kind, reward }: Competition,
  emit: Emit,
): Promise<StrategyResult> {
  const { signal, budget } = input;
  signal.throwIfAborted();
  const session = reward.open(input.rewardPrompt, signal);
  try {
    const commits = new Commits(input.choices, emit);
    const candidates = await drawAndScore({ ...input, reward: null }, n, {
      signal,
      emit,
      onText: (index, text) => emit({ type: "candidate-delta", index, text }),
    });
    const held = await holdTournament(kind, candidates, { session, budget, signal });
    for (const candidate of held.order) commits.commit(candidate);
    const { details, warnings } = held;
    const kl = { bound: bestOfNBound(n), estimate: null };
    const stopped = budget.spent ?? "complete";
    return { candidates, chosen: commits.chosen, kl, stopped, warnings, details };
  } finally {
    session.close();
  }
}

interface Order {
  /** First choice first. */
  readonly order: readonly ScoredCandidate[];
  readonly details?: Readonly<Record<string, number>>;
}

async function ordered(
  input: StrategyInput,
  { choose, beta, reference }: Scoring,
  candidates: readonly ScoredCandidate[],
): Promise<Order> {
  switch (choose) {
    case "argmax":
      return { order: bestFirst(candidates) };
    case "tilted": {
      const weights = tiltedWeights(
        judgedOf(candidates).map(({ reward }) => reward),
        beta,
      );
      const details = { effective_candidates: effectiveNumber(weights) };
      return { order: tiltedOrder(candidates, beta, input.sampling.seed), details };
    }
    case "regularised": {
      judgedOf(candidates);
      const ratios = await logRatios(input, input.models.policy(reference!), candidates);
      return { order: rankedBy(candidates, ({ index, reward }) => reward - beta * ratios[index]!) };
    }
  }
}

/**
 * Draws without replacement with probability ∝ exp(r/β): by descending r/β + Gumbel noise, the first of which is a
 * draw from the softmax. Equal texts are candidates of their own. Source: Kool et al., arXiv:1903.06059, section 2.
 */
function tiltedOrder(
  candidates: readonly ScoredCandidate[],
  beta: number,
  seed: number,
): ScoredCandidate[] {
  const random = choiceRandom(seed);
  const noise = candidates.map(() => -Math.log(-Math.log(random.uniform())));
  const highest = Math.max(...judgedOf(candidates).map(({ reward }) => reward));
  return rankedBy(candidates, ({ index, reward }) => (reward - highest) / beta + noise[index]!);
}

/**
 * ln π(y)/π_ref(y) of every candidate, nats, each model on its own encoding of the conversation.
 */
async function logRatios(
  { conversation, signal }: StrategyInput,
  reference: Policy,
  candidates: readonly ScoredCandidate[],
): Promise<number[]> {
  const prompt = reference.encode(conversation);
  return Promise.all(
    candidates.map(async ({ tokens, logprob }) => {
      const completion = tokens.map(({ id }) => id);
      const logprobs = await reference.score(prompt, completion, signal);
      return logprob - logprobs.reduce((sum, value) => sum + value, 0);
    }),
  );
}

/**
 * Both null when a candidate went unjudged: the answer's law is then conditional on being judged, and neither figure
 * covers that. The estimate is argmax's over all n, and needs the probability the answer was drawn with, which its
 * log-probability is only when sampling draws from the model's own law.
 */
function klOf(
  candidates: readonly ScoredCandidate[],
  best: ScoredCandidate,
  { input, isArgmax }: { readonly input: StrategyInput; readonly isArgmax: boolean },
): StrategyResult["kl"] {
  if (someFailed(candidates)) return { bound: null, estimate: null };
  const n = candidates.length;
  const isEstimable =
    isArgmax && candidates.every(({ reward }) => reward !== null) && drawsFromModel(input.sampling);
  return {
    bound: bestOfNBound(n),
    estimate: isEstimable ? bestOfNEstimate(n, best.logprob) : null,
  };
}

function refuseContradictions(
  { policy, models }: StrategyInput,
  { choose, reference, max_reward: maxReward }: Options,
): void {
  if (choose === "regularised") {
    if (reference === null) {
      throw refusal(
        "reference",
        "regularised compares with a reference policy; name a served model",
      );
    }
    demandSameTokens(policy, models.policy(reference), "reference");
  }
  if (choose !== "argmax" && maxReward !== null) {
    const problem = `${choose} needs all candidates and cannot end at a highest reward; leave it out or choose argmax`;
    throw refusal("max_reward", problem);
  }
}

/**
 * Statistical rejection sampling (RSO): draws n candidates and accepts each with probability exp((r − max r)/β), the
 * maximum being that of the candidates left; passes over those left repeat until as many are accepted as choices were
 * asked for. A pass always accepts its maximum. Equal texts are candidates of their own.
 * Its law tends to π·exp(r/β)/Z as n grows; β → 0 is best-of-n, β → ∞ is sampling.
 * Cost: n generations in one batch + n reward evaluations. Final: after the last candidate is judged.
 * Detail `acceptance`: the mean of exp((r − max r)/β), the share of candidates that the first pass accepts on average.
 * KL ≤ ln n − (n − 1)/n: see `bestOfNBound`.
 * Source: Liu et al., arXiv:2309.06657, algorithm 1.
 */
import { Type } from "typebox";
import type { Uniforms } from "../base/random.ts";
import { meanOf } from "../base/statistics.ts";
import { defineStrategy, type StrategyInput, type StrategyResult } from "./define.ts";
import { demandChoices } from "./demands.ts";
import { drawAndScore } from "./draw.ts";
import { bestOfNBound } from "./kl.ts";
import { bestFirst, choiceRandom, judgedOf, someFailed, tiltedWeights } from "./ranking.ts";
import { Commits, type Emit, searchEvents } from "./search.ts";

export const rso = defineStrategy({
  name: "rso",
  description:
    "Draws n candidates and accepts them with probability exp((reward − highest)/beta); returns the first accepted.",
  needsReward: true,
  options: Type.Object({
    n: Type.Integer({ minimum: 1, maximum: 128, default: 16, description: "candidates to draw" }),
    beta: Type.Number({
      exclusiveMinimum: 0,
      default: 0.5,
      description: "how far below the highest reward is accepted; in the reward's unit",
    }),
  }),
  async *run(input, options) {
    demandChoices("rso", input.choices, options.n);
    yield* searchEvents(input, (searched, emit) => search(searched, options, emit));
  },
});

async function search(
  input: StrategyInput,
  { n, beta }: { readonly n: number; readonly beta: number },
  emit: Emit,
): Promise<StrategyResult> {
  const commits = new Commits(input.choices, emit);
  const candidates = await drawAndScore(input, n, {
    signal: input.signal,
    emit,
    onText: (index, text) => emit({ type: "candidate-delta", index, text }),
  });
  const judged = judgedOf(candidates);
  const rewards = judged.map(({ reward }) => reward);
  const random = choiceRandom(input.sampling.seed);
  for (const at of accepted(rewards, { beta, count: input.choices, random })) {
    commits.commit(judged[at]!);
  }
  for (const candidate of bestFirst(candidates)) commits.commit(candidate); // fewer judged than choices
  const weights = tiltedWeights(rewards, beta);
  return {
    candidates,
    chosen: commits.chosen,
    kl: { bound: someFailed(candidates) ? null : bestOfNBound(n), estimate: null },
    stopped: input.budget.spent ?? "complete",
    warnings: [],
    details: { acceptance: meanOf(weights) },
  };
}

export interface Acceptance {
  /** In the reward's unit. */
  readonly beta: number;
  /** To accept at most. */
  readonly count: number;
  readonly random: Uniforms;
}

/**
 * Algorithm 1, over places instead of texts.
 * @returns places in `rewards`, in the order of acceptance.
 */
export function accepted(
  rewards: readonly number[],
  { beta, count, random }: Acceptance,
): readonly number[] {
  const taken: number[] = [];
  let left = [...rewards.keys()];
  while (taken.length < count && left.length > 0) {
    const chances = tiltedWeights(
      left.map((at) => rewards[at]!),
      beta,
    );
    left = left.filter((at, i) => {
      const isAccepted = taken.length < count && random.uniform() < chances[i]!;
      if (isAccepted) taken.push(at);
      return !isAccepted;
    });
  }
  return taken;
}

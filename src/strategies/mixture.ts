/**
 * Mixture: several policies, or one with several settings of sampling, share the n candidates by weight; returns the one
 * with the highest reward. A member's share is n·weight/Σ weight, rounded so that all add up to n (largest remainders).
 * Its candidates stand together, in the order of the members.
 * Cost: n generations, the members' batches side by side, + n reward evaluations. Another model reads the conversation
 * in its own template and tokens. Final: after the last candidate is judged.
 * Details: `distinct`, the share of different texts; `distance`, mean Jaccard distance of their words: near 0 the n
 * candidates are worth little more than one.
 * KL: none is known; the candidates' law is not the request's.
 * Source: candidates from several models and settings against near-copies, Xiao & Zhu, Foundations of Large Language
 * Models, section 10.4.5; the distance's in `diversity.ts`.
 */
import { Type } from "typebox";
import { splitSeed } from "../base/random.ts";
import { defineStrategy, type StrategyInput, type StrategyResult } from "./define.ts";
import { demandChoices, refusal } from "./demands.ts";
import { diversityOf } from "./diversity.ts";
import { drawAndScore } from "./draw.ts";
import { type Member, memberInput, memberProperties } from "./members.ts";
import { bestFirst } from "./ranking.ts";
import { allOrNothing, Commits, type Emit, searchEvents } from "./search.ts";

interface Options {
  readonly n: number;
  readonly members: readonly (Member & { readonly weight?: number })[];
}

export const mixture = defineStrategy({
  name: "mixture",
  description:
    "Several models or settings of sampling share n candidates; returns the one with the highest reward.",
  needsReward: true,
  options: Type.Object({
    n: Type.Integer({ minimum: 1, maximum: 128, default: 16, description: "candidates to draw" }),
    members: Type.Array(
      Type.Object(
        {
          ...memberProperties,
          weight: Type.Optional(
            Type.Number({
              exclusiveMinimum: 0,
              description: "share of the candidates; 1 unless said",
            }),
          ),
        },
        { additionalProperties: false },
      ),
      {
        minItems: 1,
        maxItems: 8,
        default: [{ temperature: 0.7 }, { temperature: 1 }, { temperature: 1.3 }],
        description: "who draws: a model, a temperature, a top_p, each with its weight",
      },
    ),
  }),
  async *run(input, options) {
    demandChoices("mixture", input.choices, options.n);
    refuseIdle(options);
    yield* searchEvents(input, (searched, emit) => search(searched, options, emit));
  },
});

async function search(
  input: StrategyInput,
  { n, members }: Options,
  emit: Emit,
): Promise<StrategyResult> {
  const { reward, rewardPrompt, signal, sampling } = input;
  signal.throwIfAborted();
  const drawing = members.map((member, k) =>
    memberInput(input, member, k === 0 ? sampling.seed : splitSeed(sampling.seed, k)),
  );
  const commits = new Commits(input.choices, emit);
  const shares = sharesOf(weightsOf(members), n);
  const session = reward?.open(rewardPrompt, signal) ?? null;
  try {
    const drawn = await allOrNothing(signal, (shared) =>
      drawing.map((member, k) =>
        drawAndScore(member.input, shares[k]!, {
          signal: shared,
          emit,
          session,
          source: member.source,
          from: shares.slice(0, k).reduce((sum, share) => sum + share, 0),
          onText: (index, text) => emit({ type: "candidate-delta", index, text }),
        }),
      ),
    );
    const candidates = drawn.flat();
    for (const candidate of bestFirst(candidates)) commits.commit(candidate);
    return {
      candidates,
      chosen: commits.chosen,
      kl: { bound: null, estimate: null },
      stopped: input.budget.spent ?? "complete",
      warnings: [],
      details: { ...diversityOf(candidates.map(({ text }) => text)) },
    };
  } finally {
    session?.close();
  }
}

const weightsOf = (members: Options["members"]) => members.map(({ weight = 1 }) => weight);

/**
 * n·wₖ/Σw rounded down; what is left goes to the largest remainders, ties: the earlier member.
 * @returns whole numbers that add up to n.
 */
export function sharesOf(weights: readonly number[], n: number): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const exact = weights.map((weight) => (n * weight) / total);
  const shares = exact.map(Math.floor);
  const left = n - shares.reduce((sum, share) => sum + share, 0);
  const byRemainder = [...exact.keys()].sort(
    (a, b) => exact[b]! - shares[b]! - (exact[a]! - shares[a]!), // stable
  );
  for (const k of byRemainder.slice(0, left)) shares[k]! += 1;
  return shares;
}

function refuseIdle({ n, members }: Options): void {
  const idle = sharesOf(weightsOf(members), n).indexOf(0);
  if (idle < 0) return;
  const problem = `member ${idle} gets none of the ${n} candidates; raise alignment.n or its weight, or leave it out`;
  throw refusal("members", problem);
}

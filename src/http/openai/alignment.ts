/** The `alignment` object of a request, and the report of the answer. */
import { type Static, Type } from "typebox";
import { GatewayError } from "../../base/errors.ts";
import type { AlignmentRequest, AnswerReport, ModelCard } from "../../gateway/types.ts";
import { limitsOf } from "../../strategies/budget.ts";

export const rewardSpecSchema = Type.Object(
  { kind: Type.String({ minLength: 1 }) },
  { additionalProperties: true }, // the kind's own schema decides
);

export const alignmentField = Type.Object(
  {
    strategy: Type.Optional(Type.String({ minLength: 1, description: "How to search." })),
    reward: Type.Optional(
      Type.Union([Type.String({ minLength: 1 }), rewardSpecSchema, Type.Null()], {
        description: "What to prefer: a reward's id, or a kind of reward with its options.",
      }),
    ),
    holdout: Type.Optional(
      Type.Union([Type.String({ minLength: 1 }), rewardSpecSchema, Type.Null()], {
        description:
          "A reward that judges every candidate and chooses none: a reward's id, or a kind of reward with its options.",
      }),
    ),
    budget: Type.Optional(
      Type.Object(
        {
          tokens: Type.Optional(Type.Integer({ minimum: 1, description: "Of all candidates." })),
          reward_calls: Type.Optional(Type.Integer({ minimum: 1 })),
          ms: Type.Optional(Type.Integer({ minimum: 1 })),
        },
        {
          additionalProperties: false,
          description: "What the search may spend; it ends inside it with the best so far.",
        },
      ),
    ),
    events: Type.Optional(
      Type.Boolean({
        description:
          "Whether a stream tells of candidates while they are searched: as named server-sent events only if so, on a socket unless not.",
      }),
    ),
    candidates: Type.Optional(
      Type.Boolean({ default: true, description: "Whether the report lists the candidates." }),
    ),
  },
  {
    additionalProperties: true, // the strategy's own schema decides
    description:
      "A search for the answer that a reward prefers. Further keys are the strategy's options, `n` for instance.",
  },
);

const nullableNumber = Type.Union([Type.Number(), Type.Null()]);

export const rewardFlagsSchema = Type.Array(Type.Enum(["asked-again", "mean-logprob"]), {
  description: "How the reward came about, where that is not the usual way.",
});

const spreadFields = {
  n: Type.Integer({ description: "Candidates that were judged." }),
  mean: Type.Number(),
  deviation: Type.Union([Type.Number(), Type.Null()], {
    description: "Standard deviation over n − 1; null for one candidate.",
  }),
  min: Type.Number(),
  max: Type.Number(),
};

export const partsSchema = Type.Record(Type.String(), nullableNumber, {
  description: "Of a reward made of others: their raw scores, by name; null: no judgement.",
});

/** Ours → wire; JSON knows no NaN. */
export const partsOf = (parts: Readonly<Record<string, number>>) =>
  Object.fromEntries(
    Object.entries(parts).map(([name, score]) => [name, Number.isFinite(score) ? score : null]),
  );

export const reportSchema = Type.Object(
  {
    strategy: Type.String(),
    n: Type.Integer(),
    chosen: Type.Integer({ description: "Index of the returned candidate." }),
    reward: nullableNumber,
    rewards: Type.Optional(
      Type.Object(spreadFields, {
        additionalProperties: false,
        description: "Over the judged candidates, without those cut for being worse.",
      }),
    ),
    candidates: Type.Optional(
      Type.Array(
        Type.Object(
          {
            index: Type.Integer(),
            text: Type.String(),
            reward: Type.Union([Type.Number(), Type.Null()], {
              description: "Raw, in the source's unit.",
            }),
            reward_parts: Type.Optional(partsSchema),
            reward_problem: Type.Optional(Type.String({ description: "Why there is no reward." })),
            reward_flags: Type.Optional(rewardFlagsSchema),
            holdout: Type.Optional(
              Type.Union([Type.Number(), Type.Null()], {
                description: "The held-out reward; null: no judgement.",
              }),
            ),
            tokens: Type.Integer({ description: "How many." }),
            logprob: Type.Number({ description: "Sum over the tokens, nats." }),
            finish_reason: Type.Enum(["stop", "length"]),
            source: Type.Optional(
              Type.Object(
                { model: Type.String(), revision: Type.String() },
                {
                  additionalProperties: false,
                  description: "What drew it, where that is another model or another prompt.",
                },
              ),
            ),
            cut: Type.Optional(
              Type.Enum(["budget", "rejected", "decided"], {
                description: "Why the search ended it before it ended itself.",
              }),
            ),
          },
          { additionalProperties: false },
        ),
      ),
    ),
    distinct: Type.Object(
      { texts: Type.Integer(), of: Type.Integer() },
      {
        additionalProperties: false,
        description: "Different texts, of the candidates that the search did not cut.",
      },
    ),
    length_correlation: Type.Union([Type.Number(), Type.Null()], {
      description: "Rank correlation of reward and characters, over ten candidates or more.",
    }),
    kl: Type.Object(
      { bound: nullableNumber, estimate: nullableNumber },
      {
        additionalProperties: false,
        description: "KL(answer's distribution ‖ policy), nats.",
      },
    ),
    disagreement: Type.Optional(
      Type.Object(
        {
          deviation: Type.Number({
            description: "Mean standard deviation of the parts' standardised scores.",
          }),
          correlation: Type.Union([Type.Number(), Type.Null()], {
            description: "The least rank correlation of two parts over the candidates.",
          }),
          dissenting: Type.Array(Type.String(), {
            description: "Parts that would have chosen another candidate.",
          }),
        },
        {
          additionalProperties: false,
          description: "Of a reward made of others: how far they disagree about the candidates.",
        },
      ),
    ),
    holdout: Type.Optional(
      Type.Object(
        {
          reward: Type.String(),
          revision: Type.String(),
          ...spreadFields,
          mean: nullableNumber,
          min: nullableNumber,
          max: nullableNumber,
          chosen: Type.Union([Type.Number(), Type.Null()], {
            description: "Of the returned candidate.",
          }),
        },
        { additionalProperties: false, description: "What the held-out reward says." },
      ),
    ),
    cost: Type.Object(
      {
        tokens: Type.Integer({ description: "Completion tokens of all candidates." }),
        reward_calls: Type.Integer({
          description:
            "Judgements, those of the held-out reward included; of a reward made of others, each of theirs.",
        }),
        reward_tokens: Type.Integer({
          description: "Tokens that judges wrote, as far as they say; not among `tokens`.",
        }),
        ms: Type.Number(),
        policy: Type.Object(
          {
            prompt_tokens_found: Type.Integer({
              description: "Prompt tokens that an earlier prompt had left computed.",
            }),
            tokens_run: Type.Integer({
              description:
                "Tokens the model ran: of prompt and candidates, guesses that were dropped, and those run again after giving way.",
            }),
            ms: Type.Number({
              description: "Share of the time the model ran, each run divided by tokens.",
            }),
          },
          { additionalProperties: false },
        ),
      },
      { additionalProperties: false },
    ),
    stopped: Type.String({
      description:
        "`complete`, the part of the budget that was spent, or a word of the strategy's.",
    }),
    warnings: Type.Array(Type.String()),
    details: Type.Optional(
      Type.Record(Type.String(), Type.Number(), { description: "Numbers of the strategy's own." }),
    ),
    revision: Type.Object(
      { policy: Type.String(), reward: Type.Union([Type.String(), Type.Null()]) },
      { additionalProperties: false },
    ),
    seed: Type.Integer(),
  },
  { additionalProperties: false },
);

/** How much of the report the answer carries. */
export type ReportDetail = "none" | "summary" | "candidates";

/**
 * Wire → ours. A preset brings its own strategy, so only the report can be chosen there without one.
 * @throws GatewayError invalid_request
 */
export function alignmentOf(
  field: Static<typeof alignmentField> | null | undefined,
  card: ModelCard | undefined,
): { alignment: AlignmentRequest | null; detail: ReportDetail; events: boolean | null } {
  const isPreset = card?.kind === "preset";
  if (!field) {
    return { alignment: null, detail: isPreset ? "candidates" : "none", events: null };
  }
  const { strategy, reward, holdout, budget, candidates = true, ...more } = field;
  const { events = null, ...options } = more;
  const detail = candidates ? "candidates" : "summary";
  if (strategy !== undefined)
    return {
      alignment: {
        strategy,
        reward: reward ?? null,
        ...(holdout && { holdout }),
        options,
        ...(budget && { budget: limitsOf(budget) }),
      },
      detail,
      events,
    };
  const [stray] = Object.keys({
    ...options,
    ...(reward !== undefined && { reward }),
    ...(holdout !== undefined && { holdout }),
    ...(budget && { budget }),
  });
  if (isPreset && stray === undefined) return { alignment: null, detail, events };
  throw new GatewayError("invalid_request", {
    param: "alignment.strategy",
    problem: "is required",
  });
}

/** Ours → wire. */
export function reportOf(report: AnswerReport, detail: ReportDetail): Static<typeof reportSchema> {
  const { strategy, n, chosen, reward, kl, disagreement, cost, work, stopped, warnings } = report;
  const { rewards, distinct, lengthCorrelation, holdout, details, revision, seed } = report;
  const summary = {
    strategy,
    n,
    chosen,
    reward,
    ...(rewards && { rewards }),
    distinct,
    length_correlation: lengthCorrelation,
    kl: { bound: kl.bound, estimate: kl.estimate },
    ...(disagreement && {
      disagreement: { ...disagreement, dissenting: [...disagreement.dissenting] },
    }),
    ...(holdout && { holdout: holdoutOf(holdout) }),
    cost: {
      tokens: cost.tokens,
      reward_calls: cost.rewardCalls,
      reward_tokens: cost.rewardTokens,
      ms: cost.ms,
      policy: {
        prompt_tokens_found: work.promptTokensFound,
        tokens_run: work.tokensRun,
        ms: work.modelMs,
      },
    },
    stopped,
    warnings: [...warnings],
    ...(details && { details: { ...details } }),
    revision: { policy: revision.policy, reward: revision.reward },
    seed,
  };
  if (detail === "summary") return summary;
  const candidates = report.candidates.map((candidate) => ({
    index: candidate.index,
    text: candidate.text,
    reward: candidate.reward,
    ...(candidate.rewardParts && { reward_parts: partsOf(candidate.rewardParts) }),
    ...(candidate.rewardProblem === null ? {} : { reward_problem: candidate.rewardProblem }),
    ...(candidate.rewardFlags && { reward_flags: [...candidate.rewardFlags] }),
    ...(holdout?.scores.has(candidate.index) && {
      holdout: holdout.scores.get(candidate.index) ?? null,
    }),
    tokens: candidate.tokens.length,
    logprob: candidate.logprob,
    finish_reason: candidate.finishReason,
    ...(candidate.source && {
      source: { model: candidate.source.model, revision: candidate.source.revision },
    }),
    ...(candidate.cut === null ? {} : { cut: candidate.cut }),
  }));
  return { ...summary, candidates };
}

function holdoutOf({ reward, revision, spread, chosen }: NonNullable<AnswerReport["holdout"]>) {
  const none = { n: 0, mean: null, deviation: null, min: null, max: null };
  return { reward, revision, ...(spread ?? none), chosen };
}

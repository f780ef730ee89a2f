/** From what a search left behind to the record that the log keeps. */
import { asParts } from "../rewards/nested.ts";
import type { CandidateRecord, CandidateSourceRecord, RequestRecord } from "../store/types.ts";
import type { CandidateSource, ScoredCandidate } from "../strategies/define.ts";
import type { HoldoutReport } from "./holdout.ts";
import type { Plan } from "./plan.ts";
import type { AnswerRequest } from "./types.ts";

export interface Outcome {
  readonly kind: RequestRecord["outcome"];
  readonly error: string | null;
}

export interface Ending {
  readonly outcome: Outcome;
  /** Milliseconds since 1970, when the request was accepted. */
  readonly createdAt: number;
  readonly ms: number;
  /** Drawn in all: candidates may share their beginnings, and a search may draw what is no candidate's. */
  readonly tokens: number;
  readonly rewardCalls: number;
  readonly holdout: HoldoutReport | null;
  /** All of them when the outcome is "completed", else those that were finished by then. */
  readonly candidates: readonly ScoredCandidate[];
  /** Indices of the candidates that were the answer. */
  readonly chosen: readonly number[];
}

export function requestRecord(
  request: AnswerRequest,
  { policy, reward, strategy, options, prompt, sampling }: Plan,
  { outcome, createdAt, ms, tokens, rewardCalls, holdout, candidates, chosen }: Ending,
): RequestRecord {
  const { seed, logitBias, ...drawn } = sampling;
  return {
    id: request.id,
    createdAt,
    route: request.route,
    model: request.model,
    policyRevision: policy.revision,
    rewardRevision: reward?.revision ?? null,
    strategy: strategy.name,
    strategyOptions: { ...options },
    sampling: { ...drawn, logitBias: Object.fromEntries(logitBias) },
    seed,
    messages: asSent(request),
    promptTokens: prompt,
    candidates: candidates.map((candidate) =>
      candidateRecord(candidate, {
        rewards: rewardsOf(candidate, reward?.id ?? null, holdout),
        chosen: chosen.includes(candidate.index),
      }),
    ),
    outcome: outcome.kind,
    error: outcome.error,
    cost: { tokens, rewardCalls, ms },
    user: request.user,
    metadata: request.metadata && { ...request.metadata },
  };
}

function candidateRecord(
  { index, tokens, text, finishReason, rewardFlags, source }: ScoredCandidate,
  { rewards, chosen }: Pick<CandidateRecord, "rewards" | "chosen">,
): CandidateRecord {
  return {
    index,
    tokens: tokens.map(({ id }) => id),
    logprobs: tokens.map(({ logprob }) => logprob),
    text,
    finishReason,
    rewards,
    ...(rewardFlags && { rewardFlags }),
    chosen,
    ...(source && { source: sourceRecord(source) }),
  };
}

/** By name, the held-out one's behind `holdout:`. The log's NaN: a reward was asked for and gave none. */
function rewardsOf(
  { index, reward, rewardParts = {} }: ScoredCandidate,
  id: string | null,
  holdout: HoldoutReport | null,
): CandidateRecord["rewards"] {
  const own = id === null ? [] : asParts(id, { reward: reward ?? Number.NaN, parts: rewardParts });
  const held = holdout?.scores.get(index);
  const heldOut: [string, number][] =
    held === undefined ? [] : [[`holdout:${holdout!.reward}`, held ?? Number.NaN]];
  return Object.fromEntries([...own, ...heldOut]);
}

function sourceRecord({ model, revision, prompt }: CandidateSource): CandidateSourceRecord {
  return { model, revision, promptTokens: prompt };
}

function asSent({ conversation }: AnswerRequest): unknown {
  switch (conversation.kind) {
    case "chat":
      return conversation.messages;
    case "text":
      return conversation.text;
    case "tokens":
      return conversation.tokens;
  }
}

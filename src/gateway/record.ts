/** From what a search left behind to the record that the log keeps. */
import { asParts } from "../rewards/nested.ts";
import type { CandidateRecord, CandidateSourceRecord, RequestRecord } from "../store/types.ts";
import type { CandidateSource, ScoredCandidate } from "../strategies/define.ts";
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
  /** All of them when the outcome is "completed", else those that were finished by then. */
  readonly candidates: readonly ScoredCandidate[];
  /** Indices of the candidates that were the answer. */
  readonly chosen: readonly number[];
}

export function requestRecord(
  request: AnswerRequest,
  { policy, reward, strategy, options, prompt, sampling }: Plan,
  { outcome, createdAt, ms, tokens, rewardCalls, candidates, chosen }: Ending,
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
      candidateRecord(candidate, reward?.id ?? null, chosen.includes(candidate.index)),
    ),
    outcome: outcome.kind,
    error: outcome.error,
    cost: { tokens, rewardCalls, ms },
    user: request.user,
    metadata: request.metadata && { ...request.metadata },
  };
}

function candidateRecord(
  candidate: ScoredCandidate,
  rewardId: string | null,
  chosen: boolean,
): CandidateRecord {
  const { index, tokens, text, finishReason, reward, rewardParts = {} } = candidate;
  const { rewardFlags, source } = candidate;
  return {
    index,
    tokens: tokens.map(({ id }) => id),
    logprobs: tokens.map(({ logprob }) => logprob),
    text,
    finishReason,
    // the log's NaN: a reward was asked for and gave none
    rewards:
      rewardId === null
        ? {}
        : Object.fromEntries(
            asParts(rewardId, { reward: reward ?? Number.NaN, parts: rewardParts }),
          ),
    ...(rewardFlags && { rewardFlags }),
    chosen,
    ...(source && { source: sourceRecord(source) }),
  };
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

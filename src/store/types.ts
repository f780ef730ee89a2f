/** What the log holds. A record is written once, when its request has ended, and never changed. */

export type FinishReason = "stop" | "length" | "cancelled" | "error";

export interface CandidateRecord {
  /** Place among the candidates of its request, from 0. */
  index: number;
  /** Completion token ids, the end token included when it was sampled. */
  tokens: readonly number[];
  /** Natural-log probability of each token when it was sampled; −Infinity and NaN survive. */
  logprobs: readonly number[];
  text: string;
  finishReason: FinishReason;
  /** Score by reward name; null: not scored, NaN: scored, and the reward model failed on it. */
  rewards: Readonly<Record<string, number | null>>;
  /** How the reward came about, in a word each, where that is not the usual way. */
  rewardFlags?: readonly string[];
  /** Whether this candidate was the answer. */
  chosen: boolean;
  /** What drew it, where that is not the request's policy on the request's prompt: token ids and logprobs are its. */
  source?: CandidateSourceRecord;
}

export interface CandidateSourceRecord {
  model: string;
  revision: string;
  promptTokens: readonly number[];
}

export interface RequestCost {
  /** Tokens generated over all candidates. */
  tokens: number;
  rewardCalls: number;
  /** From acceptance to the last byte of the answer. */
  ms: number;
}

export interface RequestRecord {
  id: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  route: string;
  model: string;
  policyRevision: string;
  rewardRevision: string | null;
  strategy: string;
  strategyOptions: Record<string, unknown>;
  sampling: Record<string, unknown>;
  seed: number;
  /** As sent: chat messages or a prompt. */
  messages: unknown;
  promptTokens: readonly number[];
  candidates: readonly CandidateRecord[];
  outcome: "completed" | "cancelled" | "failed";
  error: string | null;
  cost: RequestCost;
  user: string | null;
  metadata: Record<string, string> | null;
}

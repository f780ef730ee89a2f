/**
 * One request from wire-independent form to durable record. HTTP, WebSocket, batch and the command
 * line all speak this.
 */
import type { Spread } from "../base/statistics.ts";
import type { Work } from "../engine/types.ts";
import type { Conversation, ModelCard, Policy, TextSampling } from "../registry/types.ts";
import type { RewardFlag, RewardPrompt, RewardSpec, StepScore } from "../rewards/define.ts";
import type { Disagreement } from "../rewards/disagreement.ts";
import type { BudgetLimits, Overshoot } from "../strategies/budget.ts";
import type { CutReason, ScoredCandidate, StrategyEvent } from "../strategies/define.ts";
import type { HoldoutReport } from "./holdout.ts";
import type { WarningKind } from "./warnings.ts";

export type { ModelCard };

export interface AnswerRequest {
  readonly id: string;
  /** Route or command that asked, for the log. */
  readonly route: string;
  /** A policy's id, or a preset's ("tiny-chat/best-of-16"). */
  readonly model: string;
  readonly conversation: Conversation;
  /** As asked for; null = the default. `maxTokens` null = what the context holds. */
  readonly sampling: Partial<Omit<TextSampling, "maxTokens">> & {
    readonly maxTokens: number | null;
  };
  readonly choices: number;
  readonly alignment: AlignmentRequest | null;
  /** False: nothing is logged, the answer does not wait for the disk. */
  readonly store: boolean;
  readonly user: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly signal: AbortSignal;
}

export interface AlignmentRequest {
  readonly strategy: string;
  /** An id, or a reward that the request brings; null = the configured default when the strategy needs one. */
  readonly reward: string | RewardSpec | null;
  /** A reward that judges every candidate and chooses none. */
  readonly holdout?: string | RewardSpec;
  /** Strategy's own options, checked against its schema; unknown keys are refused. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What the search may spend; as much as it takes when nothing is said. */
  readonly budget?: BudgetLimits;
}

export interface AnswerReport {
  readonly strategy: string;
  readonly n: number;
  readonly chosen: number;
  readonly reward: number | null;
  /** Whose it is; null: none was asked for. */
  readonly rewardId: string | null;
  /** Over the judged candidates, without those cut for being worse; missing where none was judged. */
  readonly rewards?: Spread;
  readonly candidates: readonly ScoredCandidate[];
  /** Of the candidates that the search did not cut: how many, and how many texts among them. */
  readonly distinct: { readonly texts: number; readonly of: number };
  /** Spearman's, of reward and characters, over ten candidates or more. */
  readonly lengthCorrelation: number | null;
  readonly kl: { readonly bound: number | null; readonly estimate: number | null };
  /** Of a reward made of others: how far they disagree about the candidates. */
  readonly disagreement?: Disagreement;
  /** What the held-out reward says. */
  readonly holdout?: HoldoutReport;
  readonly cost: {
    readonly tokens: number;
    readonly rewardCalls: number;
    /** Tokens that judges wrote, as far as they say. */
    readonly rewardTokens: number;
    readonly ms: number;
  };
  /** What the search spent beyond its budget. */
  readonly overshoot: Overshoot;
  /** "complete", the part of the budget that was spent, or a word of the strategy's own. */
  readonly stopped: string;
  readonly warnings: readonly string[];
  /** What each is about. */
  readonly warningKinds: readonly WarningKind[];
  /** Numbers of the strategy's own. */
  readonly details?: Readonly<Record<string, number>>;
  /** What the policy's model had to do for it. */
  readonly work: Readonly<Work>;
  readonly revision: { readonly policy: string; readonly reward: string | null };
  readonly seed: number;
}

export interface Answer {
  readonly choices: readonly ScoredCandidate[];
  readonly promptTokens: number;
  /** Completion tokens of all candidates: what the search really cost. */
  readonly completionTokens: number;
  readonly report: AnswerReport;
}

export type AnswerEvent =
  | { type: "started"; policy: Policy; promptTokens: number; seed: number }
  | { type: "candidate-delta"; index: number; text: string }
  | { type: "candidate-scored"; index: number; reward: number | null; candidate: ScoredCandidate }
  | { type: "candidate-cut"; index: number; reason: CutReason }
  | Extract<StrategyEvent, { type: "text-delta" }>
  /** Comes only after the record is durable (or `store` is false). */
  | { type: "done"; answer: Answer };

export interface RewardScores {
  readonly reward: string;
  readonly revision: string;
  /** In the order of the given texts; null where the source gave no judgement. */
  readonly scores: readonly (number | null)[];
  /** Of a reward made of others: their scores of each answer, by name. */
  readonly parts?: readonly Readonly<Record<string, number>>[];
  /** How each came about, where that is not the usual way. */
  readonly flags?: readonly (readonly RewardFlag[])[];
  /** What a process reward says of each answer's steps. */
  readonly steps?: readonly (readonly StepScore[])[];
}

export interface Gateway {
  models(): readonly ModelCard[];
  /** The policy behind a model id (a preset's too). @throws GatewayError model_not_found */
  policy(model: string): Policy;
  /** @throws GatewayError adapter_not_found, adapter_exists, checkpoint_invalid */
  loadAdapter(name: string): Promise<ModelCard>;
  /** Settles when nothing runs with it any more. @throws GatewayError adapter_not_found */
  unloadAdapter(name: string): Promise<void>;
  answer(request: AnswerRequest): AsyncGenerator<AnswerEvent, void, void>;
  /**
   * Raw rewards of given texts.
   * @param reward an id, or one that the request brings; null: the default
   * @throws GatewayError reward_not_found, invalid_request
   */
  score(
    reward: string | RewardSpec | null,
    prompt: RewardPrompt,
    texts: readonly string[],
    signal: AbortSignal,
  ): Promise<RewardScores>;
  /** True once every model is loaded and warmed up and the log is writable. */
  ready(): { ready: boolean; problems: readonly string[] };
}

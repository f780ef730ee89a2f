/**
 * What a strategy is: a way to spend inference compute on one prompt. It sees a policy and a reward,
 * never HTTP. Route, command line and documentation derive from `name`, `options` and the doc comment.
 */
import type { Static, TObject } from "typebox";
import type { SampledToken } from "../engine/types.ts";
import type { Candidate, Conversation, Policy, TextSampling } from "../registry/types.ts";
import type { Reward, RewardFlag, RewardPrompt, RewardSpec } from "../rewards/define.ts";
import type { Budget } from "./budget.ts";

export interface StrategyInput {
  readonly policy: Policy;
  /** Null when the request names none; strategies that need one say so in `needsReward`. */
  readonly reward: Reward | null;
  readonly prompt: readonly number[];
  /** What `prompt` encodes, for strategies that put it to other models or in other words. */
  readonly conversation: Conversation;
  readonly rewardPrompt: RewardPrompt;
  readonly sampling: TextSampling;
  /** Others that are served, for strategies that use several. */
  readonly models: Models;
  readonly budget: Budget;
  /** OpenAI's `n`: how many answers to return. */
  readonly choices: number;
  readonly signal: AbortSignal;
}

export interface Models {
  /** @throws GatewayError model_not_found */
  policy(id: string): Policy;
  /** @throws GatewayError reward_not_found, invalid_request */
  reward(asked: string | RewardSpec): Reward;
}

export interface ScoredCandidate extends Candidate {
  /** Raw reward; null when none was asked for, or when the source gave NaN or failed. */
  readonly reward: number | null;
  /** Why the reward is null although one was asked for. */
  readonly rewardProblem: string | null;
  /** Why the search ended it before it ended itself; null: it did not. */
  readonly cut: CutReason | null;
  /** Of a reward made of others: their scores, by name. */
  readonly rewardParts?: Readonly<Record<string, number>>;
  /** How the reward came about, where that is not the usual way. */
  readonly rewardFlags?: readonly RewardFlag[];
  /** What drew it; nothing where that is the request's own policy and prompt. */
  readonly source?: CandidateSource;
}

export interface CandidateSource {
  readonly model: string;
  readonly revision: string;
  readonly prompt: readonly number[];
  /** What its tokens stand for: another model's ids mean another thing. */
  readonly tokenText: Policy["tokenText"];
}

export type CutReason = "budget" | "rejected" | "decided";

export interface StrategyResult {
  readonly candidates: readonly ScoredCandidate[];
  /** Indices into `candidates`, best first; `choices` of them. */
  readonly chosen: readonly number[];
  /**
   * KL(strategy's answer ‖ policy) in nats: an upper bound, and an estimate from the chosen answer's
   * probability. Null where the strategy has none.
   */
  readonly kl: { readonly bound: number | null; readonly estimate: number | null };
  /** What ended the search: "complete" when it did all it would, a part of the budget, or a word of the strategy's own. */
  readonly stopped: string;
  /** What a reader of the answer should know: no candidate passed, say. */
  readonly warnings: readonly string[];
  /** Numbers of the strategy's own, named in its doc comment. */
  readonly details?: Readonly<Record<string, number>>;
}

export type StrategyEvent =
  /** Text of a candidate of a search: it may never become the answer. */
  | { type: "candidate-delta"; index: number; text: string }
  /** Once for every candidate, when it is complete and judged, or complete and no reward was asked for. */
  | { type: "candidate-scored"; index: number; reward: number | null; candidate: ScoredCandidate }
  /** A candidate that the search ended before it ended itself. */
  | { type: "candidate-cut"; index: number; reason: CutReason }
  /** Final text of choice number `choice`: whoever reads it may keep it. `candidate`: whose it is, once that is known. */
  | {
      type: "text-delta";
      choice: number;
      text: string;
      tokens: readonly SampledToken[];
      source?: CandidateSource;
      candidate?: number;
    }
  | { type: "done"; result: StrategyResult };

export interface Strategy<O extends TObject = TObject> {
  readonly name: string;
  /** One sentence for /docs and --help. */
  readonly description: string;
  readonly needsReward: boolean;
  /** Whether with these options it compares answers in pairs; else a reward that only compares is refused. */
  compares?(options: Static<O>): boolean;
  /** Schema with defaults; unknown keys are refused. */
  readonly options: O;
  run(input: StrategyInput, options: Static<O>): AsyncGenerator<StrategyEvent, void, void>;
}

export function defineStrategy<O extends TObject>(strategy: Strategy<O>): Strategy<O> {
  return strategy;
}

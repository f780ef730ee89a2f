/**
 * What a strategy is: a way to spend inference compute on one prompt. It sees a policy and a reward,
 * never HTTP. Route, command line and documentation derive from `name`, `options` and the doc comment.
 */
import type { Static, TObject } from "typebox";
import type { SampledToken } from "../engine/types.ts";
import type { Candidate, Policy, TextSampling } from "../registry/types.ts";
import type { Reward, RewardPrompt } from "../rewards/define.ts";

export interface StrategyInput {
  readonly policy: Policy;
  /** Null when the request names none; strategies that need one say so in `needsReward`. */
  readonly reward: Reward | null;
  readonly prompt: readonly number[];
  readonly rewardPrompt: RewardPrompt;
  readonly sampling: TextSampling;
  /** OpenAI's `n`: how many answers to return. */
  readonly choices: number;
  readonly signal: AbortSignal;
}

export interface ScoredCandidate extends Candidate {
  /** Raw reward; null when none was asked for, or when the source gave NaN or failed. */
  readonly reward: number | null;
  /** Why the reward is null although one was asked for. */
  readonly rewardProblem: string | null;
}

export interface StrategyResult {
  readonly candidates: readonly ScoredCandidate[];
  /** Indices into `candidates`, best first; `choices` of them. */
  readonly chosen: readonly number[];
  /**
   * KL(strategy's answer ‖ policy) in nats: an upper bound, and an estimate from the chosen answer's
   * probability. Null where the strategy has none.
   */
  readonly kl: { readonly bound: number | null; readonly estimate: number | null };
  readonly rewardCalls: number;
}

export type StrategyEvent =
  /** Text of a candidate of a search: it may never become the answer. */
  | { type: "candidate-delta"; index: number; text: string }
  /** Once for every candidate, when it is complete and judged, or complete and no reward was asked for. */
  | { type: "candidate-scored"; index: number; reward: number | null; candidate: ScoredCandidate }
  /** Final text of choice number `choice`: whoever reads it may keep it. */
  | { type: "text-delta"; choice: number; text: string; tokens: readonly SampledToken[] }
  | { type: "done"; result: StrategyResult };

export interface Strategy<O extends TObject = TObject> {
  readonly name: string;
  /** One sentence for /docs and --help. */
  readonly description: string;
  readonly needsReward: boolean;
  /** Schema with defaults; unknown keys are refused. */
  readonly options: O;
  run(input: StrategyInput, options: Static<O>): AsyncGenerator<StrategyEvent, void, void>;
}

export function defineStrategy<O extends TObject>(strategy: Strategy<O>): Strategy<O> {
  return strategy;
}

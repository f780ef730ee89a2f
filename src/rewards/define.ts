/** What a reward is: a judge of finished texts. One file per source; `index.ts` lists the kinds. */
import type { TemplateMessage } from "../text/chat-template.ts";

export interface RewardPrompt {
  /** The conversation the text answers; a bare text prompt is one user message. */
  readonly messages: readonly TemplateMessage[];
}

export interface Reward {
  /** Public id, e.g. "tiny-reward". */
  readonly id: string;
  readonly revision: string;
  /**
   * Opens one prompt, so that what depends on it alone is computed once for all candidates.
   * @throws GatewayError prompt_too_long
   */
  open(prompt: RewardPrompt, signal: AbortSignal): RewardSession;
}

export interface RewardSession {
  /**
   * The raw reward of one answer, unsquashed, in the source's own unit. NaN means "no judgement".
   * Rejects when the source fails; the strategy decides what that means for the candidate.
   */
  score(text: string): Promise<number>;
  /** Frees what `open` took. Idempotent. */
  close(): void;
}

/** A reward that judges each step of an answer, of an unfinished one too: every prefix of whole steps is judged alike. */
export interface ProcessReward extends Reward {
  readonly steps: StepRule;
  open(prompt: RewardPrompt, signal: AbortSignal): ProcessRewardSession;
}

export interface ProcessRewardSession extends RewardSession {
  /** One score a step, in order. `score` is their aggregate. */
  scoreSteps(text: string): Promise<StepScores>;
}

export interface StepScores {
  readonly steps: readonly StepScore[];
  /** The steps' scores in one number, as `StepRule.aggregate` gives it; NaN without steps. */
  readonly reward: number;
}

export interface StepScore {
  readonly text: string;
  /** Probability that the step is right, in [0, 1], given those before it. */
  readonly score: number;
}

/** How a process reward cuts answers, so that a search can end candidates where steps end. */
export interface StepRule {
  readonly separator: string;
  /** Steps without the separators; blank ones are none. */
  split(text: string): string[];
  aggregate(scores: readonly number[]): number;
}

export const isProcessReward = (reward: Reward): reward is ProcessReward => "steps" in reward;

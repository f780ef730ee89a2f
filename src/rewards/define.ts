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

/**
 * A reward model's judgement: the scalar head at the last token of the whole conversation, rendered in
 * the reward model's own chat template, the answer with its end of turn included; exactly what
 * rendering the finished conversation gives, as in training.
 * Unit: the model's own, unsquashed; only differences within one prompt mean anything (Bradley-Terry).
 */
import { GatewayError } from "../base/errors.ts";
import type { Scorer } from "../engine/types.ts";
import { encodeChat } from "../text/chat-prompt.ts";
import type { ChatTemplate, TemplateMessage } from "../text/chat-template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Reward } from "./define.ts";
import { createRewardGuide } from "./reward-guide.ts";

export interface RewardModelParts {
  readonly id: string;
  readonly scorer: Scorer;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Which of the scorer's labels is the reward. */
  readonly label?: number;
}

export function createRewardModel({
  id,
  scorer,
  tokenizer,
  template,
  label = 0,
}: RewardModelParts): Reward {
  const encode = (messages: readonly TemplateMessage[], addGenerationPrompt: boolean) =>
    encodeChat({ tokenizer, template }, messages, { addGenerationPrompt });
  return {
    id,
    revision: labelledRevision(scorer, label),
    acceptsPrefixes: true,
    open({ messages }, signal) {
      const prefix = encode(messages, true);
      const session = scorer.open(prefix, signal);
      return {
        async score(text) {
          const whole = encode([...messages, { role: "assistant", content: text }], false);
          refuseTooLong(id, whole.length, scorer.contextTokens);
          if (startsWith(whole, prefix)) return session.score(whole.slice(prefix.length), label);
          return scoreApart(scorer, { whole, label }, signal);
        },
        async guide(options) {
          if (!options.tokenizer.hasTokensOf(tokenizer)) return { problem: "tokenizers differ" };
          const whole = (answer: string) =>
            encode([...messages, { role: "assistant", content: answer }], false);
          const turnEnd = turnEndOf(tokenizer, prefix, whole);
          const { vocabSize } = tokenizer;
          const parts = { id, scorer, session, label, prompt: prefix, turnEnd, vocabSize };
          return createRewardGuide(parts, options);
        },
        close: () => session.close(),
      };
    },
  };
}

/**
 * What stands behind every answer, seen from what stands behind two that share no token; null where an answer is not
 * its own tokens after the prompt's, or nothing ends it.
 */
function turnEndOf(
  tokenizer: Tokenizer,
  prefix: readonly number[],
  whole: (answer: string) => readonly number[],
): readonly number[] | null {
  const [first, second] = ["a", "0 x"].map((answer) => {
    const unfinished = [...prefix, ...tokenizer.encode(answer)];
    const finished = whole(answer);
    return startsWith(finished, unfinished) ? finished.slice(unfinished.length) : null;
  });
  return first && second && first.join() === second.join() ? first : null;
}

/** Another class of the same model is another reward. */
export const labelledRevision = ({ revision, labels }: Scorer, label: number) =>
  labels === 1 ? revision : `${revision}:${label}`;

/**
 * For answers whose first characters merge with the template's last ones into other tokens, and for
 * templates that render an answer otherwise than they announce it: nothing can be shared.
 */
async function scoreApart(
  scorer: Scorer,
  { whole, label }: { whole: readonly number[]; label: number },
  signal: AbortSignal,
): Promise<number> {
  const session = scorer.open(whole.slice(0, -1), signal);
  try {
    return await session.score(whole.slice(-1), label);
  } finally {
    session.close();
  }
}

/** Whether something follows the prefix. */
export function startsWith(whole: readonly number[], prefix: readonly number[]): boolean {
  return whole.length > prefix.length && prefix.every((id, at) => whole[at] === id);
}

/** @throws GatewayError answer_too_long */
export function refuseTooLong(reward: string, tokens: number, limit: number): void {
  if (tokens > limit) throw new GatewayError("answer_too_long", { reward, tokens, limit });
}

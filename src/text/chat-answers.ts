/** Prompts with their answers as token ids, as models are trained on them: exactly what serving reads and writes. */
import { encodeChat } from "./chat-prompt.ts";
import type { ChatTemplate, TemplateMessage } from "./chat-template.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface ChatFormat {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
}

export interface EncodedAnswers {
  /** With the opening of the assistant's turn. */
  readonly prompt: readonly number[];
  /** What the template makes of each answer behind it: the answer, its end of turn, and what follows that. */
  readonly turns: readonly (readonly number[])[];
}

/**
 * A template that renders a finished answer otherwise than it announces it (a thought left out) gives nothing to cut
 * out: the turn is then the answer's own tokens and the first of `endIds`.
 */
export function encodeAnswers(
  format: ChatFormat,
  messages: readonly TemplateMessage[],
  answers: readonly string[],
  endIds: readonly number[],
): EncodedAnswers {
  const prompt = encodeChat(format, messages, { addGenerationPrompt: true });
  const turns = answers.map((content) => {
    const whole = encodeChat(format, [...messages, { role: "assistant", content }], {
      addGenerationPrompt: false,
    });
    return prompt.every((id, at) => whole[at] === id)
      ? whole.slice(prompt.length)
      : [...format.tokenizer.encode(content), ...endIds.slice(0, 1)];
  });
  return { prompt, turns };
}

/**
 * What the policy says itself: all up to the last token that ends its turn, that token included; templates put a line
 * break behind it. A turn without such a token gets the first of `endIds`.
 */
export function spokenPart(turn: readonly number[], endIds: readonly number[]): readonly number[] {
  const end = turn.findLastIndex((id) => endIds.includes(id));
  return end < 0 ? [...turn, ...endIds.slice(0, 1)] : turn.slice(0, end + 1);
}

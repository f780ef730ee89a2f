/** Two answers to a conversation in one text, as a preference model reads them: in training and in serving the same tokens. */
import { type ChatFormat, encodeAnswers } from "./chat-answers.ts";
import { encodeChat } from "./chat-prompt.ts";
import type { TemplateMessage } from "./chat-template.ts";

export interface EncodedComparison {
  /** With the opening of the assistant's turn. */
  readonly prompt: readonly number[];
  /** Of each answer: what the template makes of it. */
  readonly turns: readonly (readonly number[])[];
  /**
   * Between the two: the opening of another turn of the assistant. Put there as tokens, since many templates refuse two
   * turns of one role; where a template opens no turn, an empty line.
   */
  readonly separator: readonly number[];
}

/** @throws GatewayError invalid_request when the template refuses the messages. */
export function encodeComparison(
  format: ChatFormat,
  messages: readonly TemplateMessage[],
  answers: readonly string[],
  endIds: readonly number[],
): EncodedComparison {
  const { prompt, turns } = encodeAnswers(format, messages, answers, endIds);
  const closed = encodeChat(format, messages, { addGenerationPrompt: false });
  const isOpened = closed.every((id, at) => prompt[at] === id) && prompt.length > closed.length;
  const separator = isOpened ? prompt.slice(closed.length) : format.tokenizer.encode("\n\n");
  return { prompt, turns, separator };
}

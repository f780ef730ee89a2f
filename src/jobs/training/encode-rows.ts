/** Rows → token ids, as the base will read and write them when it is served. */
import type { DatasetPrompt, SupervisedRow } from "../../datasets/types.ts";
import { encodeAnswers, spokenPart } from "../../text/chat-answers.ts";
import {
  type EncodedComparison,
  encodeComparison as encodeTurns,
} from "../../text/chat-comparison.ts";
import { encodeChat } from "../../text/chat-prompt.ts";
import type { ChatTemplate, TemplateMessage } from "../../text/chat-template.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";

export interface RowFormat {
  readonly tokenizer: Tokenizer;
  /** null: only texts to be continued. */
  readonly template: ChatTemplate | null;
  /** Tokens that end an answer; the first one is put behind texts. */
  readonly endIds: readonly number[];
}

/** What is wrong with a row, in the words of a sentence about it. */
export class UnusableRow extends Error {
  override readonly name = "UnusableRow";
}

export interface EncodedRow {
  readonly prompt: readonly number[];
  readonly completions: readonly (readonly number[])[];
}

/**
 * @param part what of an answer's turn is wanted: what the policy says itself, its end of turn included, or all that the
 * template makes of it, at whose last token a reward is read.
 * @throws UnusableRow for an empty prompt or answer; GatewayError invalid_request from the template
 */
export function encodeRow(
  format: RowFormat,
  { prompt, answers }: { prompt: DatasetPrompt; answers: readonly string[] },
  part: "spoken" | "whole",
): EncodedRow {
  if (answers.some((answer) => answer.trim() === "")) throw new UnusableRow("an answer is empty");
  const { endIds, tokenizer } = format;
  if ("text" in prompt) {
    const ids = tokenizer.encode(prompt.text, { addSpecial: true });
    if (ids.length === 0) throw new UnusableRow("the prompt is empty");
    const end = endIds.slice(0, 1);
    return { prompt: ids, completions: answers.map((text) => [...tokenizer.encode(text), ...end]) };
  }
  if (prompt.messages.length === 0) throw new UnusableRow("the prompt is empty");
  const { prompt: ids, turns } = encodeAnswers(
    chatFormat(format),
    prompt.messages,
    answers,
    endIds,
  );
  return {
    prompt: ids,
    completions: part === "whole" ? turns : turns.map((turn) => spokenPart(turn, endIds)),
  };
}

/**
 * Answers to be read in twos, as a served preference model reads them: a text prompt is a user's message.
 * @throws UnusableRow for an empty prompt or answer, or without a template; GatewayError invalid_request from the template
 */
export function encodeComparison(
  format: RowFormat,
  prompt: DatasetPrompt,
  answers: readonly string[],
): EncodedComparison {
  if (answers.some((answer) => answer.trim() === "")) throw new UnusableRow("an answer is empty");
  const messages = "text" in prompt ? [{ role: "user", content: prompt.text }] : prompt.messages;
  if (messages.length === 0) throw new UnusableRow("the prompt is empty");
  return encodeTurns(chatFormat(format), messages, answers, format.endIds);
}

/** A conversation, and which of its tokens are to be learned. */
export interface EncodedConversation {
  readonly tokens: readonly number[];
  readonly learned: readonly boolean[];
}

/** The last answer and the earlier ones that the row names, each as it would be said in its place. */
export function encodeConversation(format: RowFormat, row: SupervisedRow): EncodedConversation {
  if ("text" in row.prompt && row.prompt.text === "") return encodeText(format, row.completion);
  const answers = [row.completion];
  const { prompt, completions } = encodeRow(format, { prompt: row.prompt, answers }, "spoken");
  const tokens = [...prompt, ...completions[0]!];
  const learned = tokens.map((_, at) => at >= prompt.length);
  if ("messages" in row.prompt) {
    for (const turn of row.trainedTurns ?? []) {
      const { from, to } = turnIn(format, tokens, row.prompt.messages, turn);
      learned.fill(true, from, to);
    }
  }
  return { tokens, learned };
}

/** A text by itself: all but its first token, which nothing foretells, is learned. */
function encodeText({ tokenizer, endIds }: RowFormat, text: string): EncodedConversation {
  if (text.trim() === "") throw new UnusableRow("the text is empty");
  const tokens = [...tokenizer.encode(text, { addSpecial: true }), ...endIds.slice(0, 1)];
  return { tokens, learned: tokens.map((_, at) => at > 0) };
}

function turnIn(
  format: RowFormat,
  tokens: readonly number[],
  messages: readonly TemplateMessage[],
  turn: number,
): { from: number; to: number } {
  const said = messages[turn];
  if (said?.role !== "assistant") throw new UnusableRow(`message ${turn} is no answer to learn`);
  const own = chatFormat(format);
  const { endIds } = format;
  const before = encodeChat(own, messages.slice(0, turn), { addGenerationPrompt: true });
  const { turns } = encodeAnswers(own, messages.slice(0, turn), [said.content], endIds);
  const whole = [...before, ...spokenPart(turns[0]!, endIds)];
  if (whole.some((id, at) => tokens[at] !== id))
    throw new UnusableRow(`the chat template writes message ${turn} otherwise once others follow`);
  return { from: before.length, to: whole.length };
}

function chatFormat({ tokenizer, template }: RowFormat) {
  if (template) return { tokenizer, template };
  throw new UnusableRow("it is a conversation, and the base has no chat template");
}

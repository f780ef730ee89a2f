/** Answers as formats have them: a text, or messages of which the last is the answer. */
import { assert } from "../../base/assert.ts";
import type { TemplateMessage } from "../../text/chat-template.ts";
import { RowFault } from "../fault.ts";
import { messagesOf } from "../fields.ts";
import type { DatasetPrompt, PairRow, SupervisedRow } from "../types.ts";

/**
 * An answer of several messages puts all but the last behind the prompt, to be imitated where an assistant's; one that
 * repeats the prompt's messages is told apart from it. A text prompt before messages is a user's message.
 * @throws RowFault when the last message is not an assistant's.
 */
export function answerTo(
  prompt: DatasetPrompt,
  value: unknown,
  path: string,
): Pick<SupervisedRow, "prompt" | "completion" | "trainedTurns"> {
  if (typeof value === "string") return { prompt, completion: value };
  const given = messagesOf(value, path);
  const before = conversationOf(prompt, given);
  const own = startsWith(given, before) ? given.slice(before.length) : given;
  const last = own.at(-1);
  if (last?.role !== "assistant") {
    throw new RowFault("wrong_field", path, "must end with a message of the assistant");
  }
  const messages = [...before, ...own.slice(0, -1)];
  const trainedTurns = assistantTurns(messages, before.length);
  return {
    prompt: { messages },
    completion: last.content,
    ...(trainedTurns.length > 0 ? { trainedTurns } : {}),
  };
}

/** The same for formats that know one answer to a prompt: earlier turns are its context. @throws RowFault */
export function singleAnswerTo(
  asked: DatasetPrompt,
  value: unknown,
  path: string,
): { prompt: DatasetPrompt; completion: string } {
  const { prompt, completion } = answerTo(asked, value, path);
  if ("text" in prompt || prompt.messages.length > 0) return { prompt, completion };
  throw new RowFault("wrong_field", path, "has no message before the answer");
}

/**
 * Two answers to one prompt, the first of the given fields chosen.
 * @throws RowFault when what stands before their last messages differs.
 */
export function pairTo(
  asked: DatasetPrompt,
  fields: Readonly<Record<string, unknown>>,
): Pick<PairRow, "prompt" | "chosen" | "rejected"> {
  const [chosen, rejected] = Object.entries(fields).map(([name, value]) =>
    singleAnswerTo(asked, value, name),
  );
  assert(chosen && rejected, "a pair has two answers");
  const { prompt } = chosen;
  if (samePrompt(prompt, rejected.prompt)) {
    return { prompt, chosen: chosen.completion, rejected: rejected.completion };
  }
  const path = Object.keys(fields)[1]!;
  throw new RowFault("wrong_field", path, "parts from the other answer before its last message");
}

export function samePrompt(a: DatasetPrompt, b: DatasetPrompt): boolean {
  if ("text" in a || "text" in b) return "text" in a && "text" in b && a.text === b.text;
  return (
    a.messages.length === b.messages.length &&
    a.messages.every((each, i) => sameMessage(each, b.messages[i]!))
  );
}

/** Indices of the assistant's messages, from an index on. */
export const assistantTurns = (messages: readonly TemplateMessage[], from = 0): number[] =>
  messages.flatMap(({ role }, i) => (i >= from && role === "assistant" ? [i] : []));

export const sameMessage = (a: TemplateMessage, b: TemplateMessage): boolean =>
  a.role === b.role && a.content === b.content && a.name === b.name;

/** What `promptOf` reads back. */
export const writtenPrompt = (prompt: DatasetPrompt): unknown =>
  "text" in prompt ? prompt.text : prompt.messages;

/** In the manner of its prompt. */
export const writtenAnswer = (prompt: DatasetPrompt, completion: string): unknown =>
  "text" in prompt ? completion : [{ role: "assistant", content: completion }];

/** UltraFeedback and its kin repeat a text prompt as the first message of an answer. */
function conversationOf(
  prompt: DatasetPrompt,
  given: readonly TemplateMessage[],
): readonly TemplateMessage[] {
  if ("messages" in prompt) return prompt.messages;
  const asked = given.findIndex(({ role, content }) => role === "user" && content === prompt.text);
  return asked < 0 ? [{ role: "user", content: prompt.text }] : given.slice(0, asked + 1);
}

const startsWith = (messages: readonly TemplateMessage[], first: readonly TemplateMessage[]) =>
  first.length < messages.length && first.every((each, i) => sameMessage(each, messages[i]!));

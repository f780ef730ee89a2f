/**
 * How a process reward model reads a question and the steps of an answer: as token ids, with the places where
 * each step's score stands. The ids are those of the published code for texts that spell no marker of their own.
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import { encodeChat, type MarkedMessage } from "../text/chat-prompt.ts";
import type { ChatTemplate, TemplateMessage } from "../text/chat-template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

export interface MarkedTokens {
  readonly ids: readonly number[];
  /** For each step the token at which the model speaks of it, ascending. */
  readonly at: readonly number[];
}

export interface LayoutParts {
  readonly tokenizer: Tokenizer;
  /** Null only for layouts that chat not. */
  readonly template: ChatTemplate | null;
  readonly separator: string;
  /** What stands after each step. */
  readonly marker: string;
  /** What stands between the question and the first step, where no template says it. */
  readonly glue: string;
}

/** @throws GatewayError invalid_request when the texts hide where a step ends. */
export type Layout = (
  parts: LayoutParts,
  messages: readonly TemplateMessage[],
  steps: readonly string[],
) => MarkedTokens;

/** The answer as an assistant's message, a marker after each step, the score at the marker. */
const chat: Layout = (parts, messages, steps) => {
  const { tokenizer, marker } = parts;
  const answer: MarkedMessage = { role: "assistant", pieces: [...steps, ""] };
  const ids = encodeChat(chatParts(parts), [...messages, answer], {
    addGenerationPrompt: false,
    marker,
  });
  refuseForgedMarker(parts, [...messages.map(({ content }) => content), ...steps]);
  return { ids, at: marksIn(ids, markerIds(tokenizer, marker), { steps, marker }) };
};

/** Question and answer as one plain text, a marker after each step, the score at the marker. */
const text: Layout = (parts, messages, steps) => {
  const { tokenizer, separator, marker, glue } = parts;
  refuseForgedMarker(parts, [...messages.map(({ content }) => content), ...steps]);
  const whole = questionOf(messages) + glue + steps.map((step) => step + marker).join(separator);
  const ids = tokenizer.encode(whole, { addSpecial: true });
  return { ids, at: marksIn(ids, markerIds(tokenizer, marker), { steps, marker }) };
};

/**
 * Each step as a user's message, answered by the assistant with the marker; the score is what is foretold one
 * token before it. The first step follows the question in its message. Where the markers are is seen by writing
 * a control token in their place.
 */
const turns: Layout = (parts, messages, steps) => {
  const { tokenizer, marker, glue } = parts;
  const asked = messages.at(-1);
  const first = { ...(asked ?? { role: "user", content: "" }) };
  const conversation = steps.flatMap((step, i): (TemplateMessage | MarkedMessage)[] => [
    i === 0 ? { ...first, content: first.content + glue + step } : { role: "user", content: step },
    { role: "assistant", pieces: ["", ""] },
  ]);
  const encoded = (mark: string) =>
    encodeChat(chatParts(parts), [...messages.slice(0, -1), ...conversation], {
      addGenerationPrompt: false,
      marker: mark,
    });
  const [ids, seen] = [encoded(marker), encoded(controlToken(tokenizer))];
  const marks = ids.flatMap((id, i) => (id === seen[i] ? [] : [i]));
  const isClear = ids.length === seen.length && new Set(marks.map((i) => ids[i])).size === 1;
  if (!isClear || marks.length !== steps.length) throw hidden(marker);
  return { ids, at: marks.map((i) => i - 1) };
};

/** Question, steps and markers each turned into tokens for itself; the score at the marker's last. */
const pieces: Layout = ({ tokenizer, marker, glue }, messages, steps) => {
  const ids = tokenizer.encode(questionOf(messages) + glue, { addSpecial: true });
  const ending = tokenizer.encode(marker);
  const at = steps.map((step) => ids.push(...tokenizer.encode(step), ...ending) - 1);
  return { ids, at };
};

export const layouts = { chat, text, turns, pieces } as const satisfies Record<string, Layout>;
export type LayoutName = keyof typeof layouts;

const questionOf = (messages: readonly TemplateMessage[]) =>
  messages.map(({ content }) => content).join("\n");

function chatParts({ tokenizer, template }: LayoutParts) {
  assert(template !== null, "a layout that chats needs a template");
  return { tokenizer, template };
}

/** A marker's ids as they follow a text. */
function markerIds(tokenizer: Tokenizer, marker: string): readonly number[] {
  const own = tokenizer.idOf(marker);
  if (own !== null) return [own];
  const before = tokenizer.encode("x").length;
  return tokenizer.encode(`x${marker}`).slice(before);
}

/** Where the markers end; as many as there are steps, or the texts have merged with them. */
function marksIn(
  ids: readonly number[],
  sought: readonly number[],
  { steps, marker }: { steps: readonly string[]; marker: string },
): number[] {
  const marks = ids.flatMap((_, i) =>
    sought.length > 0 && sought.every((id, k) => ids[i + k] === id) ? [i + sought.length - 1] : [],
  );
  if (marks.length !== steps.length) throw hidden(marker);
  return marks;
}

/** A control token in a text is read as text; any other marker there would be taken for ours. */
function refuseForgedMarker({ tokenizer, marker }: LayoutParts, texts: readonly string[]): void {
  const id = tokenizer.idOf(marker);
  if (id !== null && tokenizer.specialIds.has(id)) return;
  if (texts.some((given) => given.includes(marker.trim() || marker))) throw hidden(marker);
}

/** One that the vocabulary has, as text. */
function controlToken(tokenizer: Tokenizer): string {
  const [id] = [...tokenizer.endIds, ...tokenizer.specialIds];
  assert(id !== undefined, "a chat model's vocabulary has control tokens");
  return Buffer.from(tokenizer.bytesOf(id)).toString("utf8");
}

function hidden(marker: string): GatewayError {
  const problem = `the question or the answer cannot be told from the marker ${JSON.stringify(marker)} that the process reward model reads after each step`;
  return new GatewayError("invalid_request", { param: null, problem });
}

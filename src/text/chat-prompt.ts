/**
 * A conversation → the token ids that the model reads. The template's own control tokens count as such;
 * the same characters in a message stay text, whatever the template does with the message.
 */

import type { ChatTemplate, RenderOptions, TemplateMessage } from "./chat-template.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A message in pieces, between which a marker stands that is read as a control token where it is one. */
export interface MarkedMessage {
  readonly role: string;
  readonly pieces: readonly string[];
}

export interface ChatOptions extends RenderOptions {
  readonly marker?: string;
}

/**
 * @returns the ids of the rendered text; for messages that spell no control token, exactly those that
 * transformers' `apply_chat_template` gives.
 * @throws GatewayError invalid_request when the template refuses the messages.
 */
export function encodeChat(
  { tokenizer, template }: { tokenizer: Tokenizer; template: ChatTemplate },
  messages: readonly (TemplateMessage | MarkedMessage)[],
  { marker = "", ...options }: ChatOptions,
): number[] {
  const mark = unusedMark(messages.flatMap(textsOf));
  const guarded = messages.map((message): TemplateMessage => {
    const guard = (text: string) => tokenizer.guard(text, mark);
    if ("pieces" in message) {
      return { role: message.role, content: message.pieces.map(guard).join(marker) };
    }
    const { content, name, ...rest } = message;
    return { ...rest, content: guard(content), ...(name !== undefined && { name: guard(name) }) };
  });
  return tokenizer.encode(template.render(guarded, options), { special: "parse", mark });
}

const textsOf = (message: TemplateMessage | MarkedMessage) =>
  "pieces" in message ? message.pieces : [message.content, message.name ?? ""];

/**
 * A string that no text contains. Its first character occurs in it once, so that in a text that has
 * such characters of its own, only what was put in is taken out again.
 */
function unusedMark(texts: readonly string[]): string {
  const used = new Set(
    texts.flatMap((text) => text.match(/\u{FDD0}[\u{FDD1}-\u{FDEF}]{5}/gu) ?? []),
  );
  let n = 0;
  while (used.has(markOf(n))) n++;
  return markOf(n);
}

/** U+FDD0 and n in base 31, written with U+FDD1 to U+FDEF: characters that Unicode keeps for such uses. */
function markOf(n: number): string {
  const digits = Array.from({ length: 5 }, (_, place) => Math.floor(n / 31 ** place) % 31);
  return String.fromCharCode(0xfdd0, ...digits.map((digit) => 0xfdd1 + digit));
}

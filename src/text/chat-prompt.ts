/**
 * A conversation → the token ids that the model reads. The template's own control tokens count as such;
 * the same characters in a message stay text, whatever the template does with the message.
 */

import type { ChatTemplate, RenderOptions, TemplateMessage } from "./chat-template.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * @returns the ids of the rendered text; for messages that spell no control token, exactly those that
 * transformers' `apply_chat_template` gives.
 * @throws GatewayError invalid_request when the template refuses the messages.
 */
export function encodeChat(
  { tokenizer, template }: { tokenizer: Tokenizer; template: ChatTemplate },
  messages: readonly TemplateMessage[],
  options: RenderOptions,
): number[] {
  const mark = unusedMark(messages);
  const guarded = messages.map(({ content, name, ...message }) => ({
    ...message,
    content: tokenizer.guard(content, mark),
    ...(name !== undefined && { name: tokenizer.guard(name, mark) }),
  }));
  return tokenizer.encode(template.render(guarded, options), { special: "parse", mark });
}

/**
 * A string that no message contains. Its first character occurs in it once, so that in a text that has
 * such characters of its own, only what was put in is taken out again.
 */
function unusedMark(messages: readonly TemplateMessage[]): string {
  const texts = messages.flatMap(({ content, name }) => [content, name ?? ""]);
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

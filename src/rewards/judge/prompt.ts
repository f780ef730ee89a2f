/**
 * What a judge is asked. Conversation and answers stand between marks that they cannot contain, so that a text which
 * pretends to end itself, or to be the judge's instruction, is still seen to be inside. That makes injection harder and
 * not impossible: a model may obey what it reads all the same.
 */
import { createHash } from "node:crypto";
import type { TemplateMessage } from "../../text/chat-template.ts";

/** Fills the template's {names}, each once and none within what was put in. Unknown names stay as they are. */
export function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) =>
    Object.hasOwn(values, name) ? values[name]! : whole,
  );
}

/**
 * The text between two lines with a mark: the first 12 hexadecimal digits of SHA-256(name, text). A text that held
 * its own mark would have to be found among 2⁴⁸, and the same text always gets the same one.
 */
export function fenced(name: string, text: string): string {
  const mark = createHash("sha256").update(`${name}\n${text}`).digest("hex").slice(0, 12);
  return `<<<${name} ${mark}\n${text}\n${name} ${mark}>>>`;
}

export const fencedConversation = (messages: readonly TemplateMessage[]) =>
  fenced("conversation", messages.map(({ role, content }) => `${role}: ${content}`).join("\n"));

/** A conversation with its answer, as protocols that take text want it. */
import { type Static, Type } from "typebox";
import { ChatTemplate, type TemplateMessage } from "../../text/chat-template.ts";

/** An answer, and what it answers. */
export interface Judged {
  readonly messages: readonly TemplateMessage[];
  readonly text: string;
}

export const templateOption = Type.Optional(
  Type.String({
    minLength: 1,
    description:
      "the model's chat template in Jinja, for conversations sent as text; unset: `role: content` lines",
  }),
);

export type TemplateOption = Static<typeof templateOption> | undefined;

export const asMessages = ({ messages, text }: Judged): readonly TemplateMessage[] => [
  ...messages,
  { role: "assistant", content: text },
];

/**
 * By the template, or as lines "user: …" and "assistant: …".
 * NOTE: a message that spells a control token is sent as it is; only the server's tokenizer could tell them apart.
 */
export function textWriter(reward: string, source: TemplateOption): (judged: Judged) => string {
  if (source === undefined) return (judged) => asLines(asMessages(judged));
  const template = new ChatTemplate(source, {}, `the template of the reward '${reward}'`);
  return (judged) => template.render(asMessages(judged), { addGenerationPrompt: false });
}

/** The same without the answer: with a template up to where the answer would begin. */
export function promptWriter(reward: string, source: TemplateOption): (judged: Judged) => string {
  if (source === undefined) return ({ messages }) => asLines(messages);
  const template = new ChatTemplate(source, {}, `the template of the reward '${reward}'`);
  return ({ messages }) => template.render(messages, { addGenerationPrompt: true });
}

/** What was asked, for models that read a question and an answer: they know no roles. */
export const asQuestion = ({ messages }: Judged) =>
  messages.map(({ content }) => content).join("\n");

const asLines = (messages: readonly TemplateMessage[]) =>
  messages.map(({ role, content }) => `${role}: ${content}`).join("\n");

/** What vLLM's routes share: their options, how a conversation is sent, and which of a model's values is the reward. */
import { Type } from "typebox";
import type { TemplateMessage } from "../../text/chat-template.ts";
import { defineReward } from "../define.ts";
import {
  asMessages,
  type Judged,
  type TemplateOption,
  templateOption,
  textWriter,
} from "./conversation.ts";
import { batchMaxOption, remoteOptions } from "./options.ts";
import { inOrder, remoteReward, WrongReply } from "./protocol.ts";

export const vllmOptions = {
  ...remoteOptions,
  model: Type.Optional(
    Type.String({ minLength: 1, description: "name it is served under; unset: the only one" }),
  ),
  raw_scores: Type.Boolean({
    default: true,
    description:
      "logits as they are (`use_activation: false`); vLLM's own default squashes them by softmax or sigmoid",
  }),
};

const conversationOptions = {
  conversation: Type.Enum(["chat", "text"], {
    default: "chat",
    description:
      "`chat`: messages, in the chat template of the model there, one answer a call; `text`: one text each, many a call",
  }),
  template: templateOption,
  batch_max: batchMaxOption,
  label: Type.Optional(
    Type.Integer({
      minimum: 0,
      description: "number of the class whose score is the reward; needed where there are several",
    }),
  ),
};

/** The values of one text, by its place in the call. */
interface ValuesRow {
  readonly index: number;
  readonly values: unknown;
}

interface ConversationKind {
  readonly name: string;
  readonly description: string;
  /** @throws WrongReply */
  readonly rowsOf: (reply: unknown) => readonly ValuesRow[];
}

/** A kind whose route takes conversations and answers with values of each, one of which is the reward. */
export function conversationReward({ name, description, rowsOf }: ConversationKind) {
  return defineReward({
    name,
    description,
    isInline: false,
    options: Type.Object({ ...vllmOptions, ...conversationOptions }),
    create(id, options, { clock }) {
      const { model, raw_scores, conversation, template, label } = options;
      return remoteReward(
        { id, settings: options, clock },
        {
          name,
          judging: { model, raw_scores, conversation, template, label },
          ...vllmInput(id, options),
          read: (reply, count) =>
            inOrder(
              rowsOf(reply).map(({ index, values }) => ({
                index,
                value: rewardAmong(values, label),
              })),
              count,
            ),
        },
      );
    },
  });
}

interface InputSettings {
  readonly model?: string;
  readonly raw_scores: boolean;
  readonly conversation: "chat" | "text";
  readonly template?: TemplateOption;
  readonly batch_max: number;
}

/**
 * {model, messages, use_activation} for one answer, or {model, input: [text, …], use_activation}. A chat's
 * `add_generation_prompt` and `add_special_tokens` are false by default there, which is what a whole conversation wants.
 */
function vllmInput(reward: string, settings: InputSettings) {
  const { conversation, template, raw_scores, model } = settings;
  const common = { ...(model !== undefined && { model }), use_activation: !raw_scores };
  const write = textWriter(reward, template);
  return {
    batchMax: conversation === "chat" ? 1 : settings.batch_max,
    inputOf: (judged: Judged) => (conversation === "chat" ? asMessages(judged) : write(judged)),
    body: (batch: readonly (string | readonly TemplateMessage[])[]) =>
      conversation === "chat" ? { ...common, messages: batch[0] } : { ...common, input: batch },
  };
}

/**
 * One of a model's values: the only one, or the label's; of rows, one a token, the last row's.
 * @throws WrongReply
 */
function rewardAmong(values: unknown, label: number | undefined): unknown {
  if (!Array.isArray(values)) throw new WrongReply("has no list of numbers for a text");
  const last: unknown = values.at(-1);
  if (Array.isArray(last)) return rewardAmong(last, label);
  if (label !== undefined && label < values.length) return values[label];
  if (label === undefined && values.length === 1) return last;
  const wanted = label === undefined ? "and 'label' names none of them" : `and 'label' is ${label}`;
  throw new WrongReply(`has ${values.length} numbers for a text, ${wanted}`);
}

/** POST /v1/chat/completions: the wire's shapes, and wire ⇄ ours. */
import { type Static, Type } from "typebox";
import { GatewayError } from "../../base/errors.ts";
import type { Gateway } from "../../gateway/types.ts";
import type { ChatMessage } from "../../registry/types.ts";
import { alignmentOf, reportSchema } from "./alignment.ts";
import {
  checkEvents,
  includesUsage,
  neutralOnly,
  nullable,
  samplingOf,
  sharedFields,
} from "./fields.ts";
import { type Ask, type Format, finishReasonSchema, usageSchema } from "./format.ts";
import { chatLogprobs, chatLogprobsSchema } from "./logprobs.ts";

const noTools = "tools cannot be called";
const textOnly = "only text goes in and comes out";

const contentSchema = Type.Union([
  Type.String(),
  Type.Array(
    Type.Object(
      { type: Type.Literal("text", { refusal: textOnly }), text: Type.String() },
      { additionalProperties: true }, // names the wrong `type` of an image before its other keys
    ),
    { minItems: 1 },
  ),
]);

export const messageSchema = Type.Object(
  {
    role: Type.Enum(["system", "developer", "user", "assistant"], { refusal: noTools }),
    content: contentSchema,
    name: nullable(Type.String()),
    // An answer of ours, or of OpenAI, is sent back as it came.
    refusal: neutralOnly([null], textOnly),
    tool_calls: neutralOnly([null, []], noTools),
    function_call: neutralOnly([null], noTools),
    audio: neutralOnly([null], textOnly),
    annotations: neutralOnly([null, []], textOnly),
  },
  { additionalProperties: false },
);

export const chatRequestSchema = Type.Object(
  {
    messages: Type.Array(messageSchema, { minItems: 1 }),
    ...sharedFields,
    max_completion_tokens: nullable(
      Type.Integer({ minimum: 1, description: "Unset: what the context holds." }),
    ),
    max_tokens: nullable(Type.Integer({ minimum: 1, description: "Older name of the same." })),
    logprobs: nullable(Type.Boolean({ default: false })),
    top_logprobs: nullable(Type.Integer({ minimum: 0, maximum: 20 })),
    response_format: nullable(
      Type.Object(
        { type: Type.Literal("text", { refusal: "answers in JSON cannot be enforced yet" }) },
        { additionalProperties: true }, // names the wrong `type` before its schema
      ),
    ),
    tools: neutralOnly([null, []], noTools),
    tool_choice: neutralOnly([null, "none", "auto"], noTools),
    parallel_tool_calls: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])), // of no tools
    functions: neutralOnly([null, []], noTools),
    function_call: neutralOnly([null, "none", "auto"], noTools),
    modalities: neutralOnly([null, ["text"]], textOnly),
    audio: neutralOnly([null], textOnly),
    prediction: neutralOnly([null], "nothing is predicted"),
    web_search_options: neutralOnly([null], "nothing is searched"),
    reasoning_effort: neutralOnly([null, "none"], "the model does not reason apart"),
    verbosity: neutralOnly([null, "medium"], "the model has one"),
  },
  { additionalProperties: false },
);

const choiceFields = {
  index: Type.Integer(),
  logprobs: Type.Union([chatLogprobsSchema, Type.Null()]),
};

const answerFields = {
  id: Type.String({ pattern: "^chatcmpl-" }),
  created: Type.Integer({ description: "Unix seconds." }),
  model: Type.String(),
  system_fingerprint: Type.String({ description: "The policy's revision." }),
  alignment: Type.Optional(reportSchema),
};

export const chatCompletionSchema = Type.Object(
  {
    object: Type.Literal("chat.completion"),
    ...answerFields,
    choices: Type.Array(
      Type.Object(
        {
          ...choiceFields,
          message: Type.Object(
            { role: Type.Literal("assistant"), content: Type.String(), refusal: Type.Null() },
            { additionalProperties: false },
          ),
          finish_reason: finishReasonSchema,
        },
        { additionalProperties: false },
      ),
    ),
    usage: usageSchema,
  },
  { additionalProperties: false },
);

export const chatChunkSchema = Type.Object(
  {
    object: Type.Literal("chat.completion.chunk"),
    ...answerFields,
    choices: Type.Array(
      Type.Object(
        {
          ...choiceFields,
          delta: Type.Object(
            {
              role: Type.Optional(Type.Literal("assistant")),
              content: Type.Optional(Type.String()),
            },
            { additionalProperties: false },
          ),
          finish_reason: Type.Union([finishReasonSchema, Type.Null()]),
        },
        { additionalProperties: false },
      ),
    ),
    usage: Type.Optional(Type.Union([usageSchema, Type.Null()])),
  },
  { additionalProperties: false },
);

export type ChatRequest = Static<typeof chatRequestSchema>;

/** @throws GatewayError model_not_found, invalid_request */
export function askOfChat(body: ChatRequest, gateway: Gateway): Ask {
  const policy = gateway.policy(body.model);
  const card = gateway.models().find(({ id }) => id === body.model);
  const aligned = alignmentOf(body.alignment, card);
  const topLogprobs = topLogprobsOf(body);
  const limits = { maxTokens: maxTokensOf(body), topLogprobs, vocabSize: policy.vocabSize };
  return {
    model: body.model,
    format: chatFormat(body.logprobs ?? false),
    prompts: [{ conversation: { kind: "chat", messages: messagesOf(body.messages) }, echo: "" }],
    choices: body.n ?? 1,
    sampling: samplingOf(body, limits),
    ...aligned,
    events: checkEvents(aligned.events, body),
    store: body.store ?? true,
    user: body.user ?? null,
    metadata: body.metadata ?? null,
    stream: body.stream ?? false,
    includeUsage: includesUsage(body),
  };
}

export const messagesOf = (messages: ChatRequest["messages"]): ChatMessage[] =>
  messages.map(messageOf);

function messageOf({ role, content, name }: ChatRequest["messages"][number]): ChatMessage {
  const text = typeof content === "string" ? content : content.map((part) => part.text).join("");
  const named = typeof name === "string" ? { name } : {};
  // OpenAI's newer word for the same role; chat templates know the older.
  return { role: role === "developer" ? "system" : role, content: text, ...named };
}

function maxTokensOf({ max_tokens, max_completion_tokens }: ChatRequest): number | null {
  if (typeof max_tokens === "number" && typeof max_completion_tokens === "number") {
    const problem = "cannot be set together with 'max_completion_tokens'; leave it out";
    throw new GatewayError("invalid_request", { param: "max_tokens", problem });
  }
  return max_completion_tokens ?? max_tokens ?? null;
}

function topLogprobsOf({ logprobs, top_logprobs }: ChatRequest): number | null {
  if (typeof top_logprobs === "number" && !logprobs) {
    const problem = "is only allowed when 'logprobs' is true";
    throw new GatewayError("invalid_request", { param: "top_logprobs", problem });
  }
  return top_logprobs ?? null;
}

function chatFormat(hasLogprobs: boolean): Format {
  return {
    idPrefix: "chatcmpl-",
    object: "chat.completion",
    chunkObject: "chat.completion.chunk",
    showsTokens: hasLogprobs,
    choice: (index, { text, tokens, policy }, { finishReason }) => ({
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: hasLogprobs ? chatLogprobs(tokens, policy) : null,
      finish_reason: finishReason,
    }),
    opening: (index) => chunk(index, { role: "assistant", content: "" }),
    delta: (index, { text, tokens, policy }) => ({
      ...chunk(index, { content: text }),
      logprobs: hasLogprobs ? chatLogprobs(tokens, policy) : null,
    }),
    finish: (index, reason) => ({ ...chunk(index, {}), finish_reason: reason }),
  };
}

const chunk = (index: number, delta: object) => ({
  index,
  delta,
  logprobs: null,
  finish_reason: null,
});

/** POST /v1/completions: the wire's shapes, and wire ⇄ ours. */
import { type Static, Type } from "typebox";
import { GatewayError } from "../../base/errors.ts";
import type { Gateway } from "../../gateway/types.ts";
import type { Conversation, Policy } from "../../registry/types.ts";
import { alignmentOf, reportSchema } from "./alignment.ts";
import {
  checkEvents,
  checkToken,
  includesUsage,
  neutralOnly,
  nullable,
  samplingOf,
  sharedFields,
} from "./fields.ts";
import { type Ask, type Format, finishReasonSchema, type Prompt, usageSchema } from "./format.ts";
import { textLogprobs, textLogprobsSchema } from "./logprobs.ts";

/** OpenAI's default for this route. */
const maxTokensDefault = 16;

const tokenList = Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 });

export const completionRequestSchema = Type.Object(
  {
    prompt: Type.Union(
      [
        Type.String(),
        Type.Array(Type.String(), { minItems: 1 }),
        tokenList,
        Type.Array(tokenList, { minItems: 1 }),
      ],
      { description: "One text or several, as text or as token ids." },
    ),
    ...sharedFields,
    max_tokens: nullable(Type.Integer({ minimum: 1, default: maxTokensDefault })),
    logprobs: nullable(
      Type.Integer({ minimum: 0, maximum: 20, description: "Alternatives for each token." }),
    ),
    echo: nullable(Type.Boolean({ default: false, description: "Repeat the prompt." })),
    best_of: neutralOnly(
      [null, 1],
      'a search is asked for with "alignment": {"strategy": "best-of-n", "n": …}',
    ),
    suffix: neutralOnly([null, ""], "text can only be continued, not filled in"),
  },
  { additionalProperties: false },
);

const answerFields = {
  id: Type.String({ pattern: "^cmpl-" }),
  object: Type.Literal("text_completion"),
  created: Type.Integer({ description: "Unix seconds." }),
  model: Type.String(),
  system_fingerprint: Type.String({ description: "The policy's revision." }),
  alignment: Type.Optional(reportSchema),
};

const choiceFields = {
  index: Type.Integer(),
  text: Type.String(),
  logprobs: Type.Union([textLogprobsSchema, Type.Null()]),
};

export const completionSchema = Type.Object(
  {
    ...answerFields,
    choices: Type.Array(
      Type.Object(
        { ...choiceFields, finish_reason: finishReasonSchema },
        { additionalProperties: false },
      ),
    ),
    usage: usageSchema,
  },
  { additionalProperties: false },
);

export const completionChunkSchema = Type.Object(
  {
    ...answerFields,
    choices: Type.Array(
      Type.Object(
        { ...choiceFields, finish_reason: Type.Union([finishReasonSchema, Type.Null()]) },
        { additionalProperties: false },
      ),
    ),
    usage: Type.Optional(Type.Union([usageSchema, Type.Null()])),
  },
  { additionalProperties: false },
);

export type CompletionRequest = Static<typeof completionRequestSchema>;

/** @throws GatewayError model_not_found, invalid_request */
export function askOfCompletion(body: CompletionRequest, gateway: Gateway): Ask {
  const policy = gateway.policy(body.model);
  const card = gateway.models().find(({ id }) => id === body.model);
  const prompts = promptsOf(body, policy);
  const { alignment, detail, events } = alignmentOf(body.alignment, card);
  if (prompts.length > 1 && detail !== "none") {
    const problem = "must be one prompt when a search is asked for; send one request for each";
    throw new GatewayError("invalid_request", { param: "prompt", problem });
  }
  const maxTokens = body.max_tokens ?? maxTokensDefault;
  const limits = { maxTokens, topLogprobs: body.logprobs ?? null, vocabSize: policy.vocabSize };
  return {
    model: body.model,
    format: completionFormat(typeof body.logprobs === "number"),
    prompts,
    choices: body.n ?? 1,
    sampling: samplingOf(body, limits),
    alignment,
    detail,
    events: checkEvents(events, body),
    store: body.store ?? true,
    user: body.user ?? null,
    metadata: body.metadata ?? null,
    stream: body.stream ?? false,
    includeUsage: includesUsage(body),
  };
}

function promptsOf({ prompt, echo, logprobs }: CompletionRequest, policy: Policy): Prompt[] {
  if (echo && typeof logprobs === "number") {
    const problem = "cannot be combined with 'logprobs': the prompt's are not computed";
    throw new GatewayError("invalid_request", { param: "echo", problem });
  }
  return conversationsOf(prompt, policy.vocabSize).map((conversation) => ({
    conversation,
    echo: echo ? textOf(conversation, policy) : "",
  }));
}

type PlainPrompt = Exclude<Conversation, { kind: "chat" }>;

function conversationsOf(prompt: CompletionRequest["prompt"], vocabSize: number): PlainPrompt[] {
  if (typeof prompt === "string") return [{ kind: "text", text: prompt }];
  const isTokenList = typeof prompt[0] === "number";
  const prompts = isTokenList ? [prompt as number[]] : (prompt as (string | number[])[]); // by the schema
  return prompts.map((one) => {
    if (typeof one === "string") return { kind: "text", text: one };
    return { kind: "tokens", tokens: one.map((id) => checkToken(id, vocabSize, "prompt")) };
  });
}

function textOf(prompt: PlainPrompt, policy: Policy): string {
  if (prompt.kind === "text") return prompt.text;
  return Buffer.concat(prompt.tokens.map((id) => policy.tokenText(id).bytes)).toString("utf8");
}

function completionFormat(hasLogprobs: boolean): Format {
  return {
    idPrefix: "cmpl-",
    object: "text_completion",
    chunkObject: "text_completion",
    showsTokens: hasLogprobs,
    choice: (index, piece, { finishReason }) => ({
      index,
      text: piece.text,
      logprobs: hasLogprobs ? textLogprobs(piece) : null,
      finish_reason: finishReason,
    }),
    opening: (index, echo) => (echo === "" ? null : chunk(index, echo)),
    delta: (index, piece) => ({
      ...chunk(index, piece.text),
      logprobs: hasLogprobs ? textLogprobs(piece) : null,
    }),
    finish: (index, reason) => ({ ...chunk(index, ""), finish_reason: reason }),
  };
}

const chunk = (index: number, text: string) => ({
  index,
  text,
  logprobs: null,
  finish_reason: null,
});

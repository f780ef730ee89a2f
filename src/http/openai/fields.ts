/** The request fields that chat and text completions share, and what they mean to us. */
import { type TSchema, Type } from "typebox";
import { GatewayError } from "../../base/errors.ts";
import type { AnswerRequest } from "../../gateway/types.ts";
import { alignmentField } from "./alignment.ts";

/** OpenAI's clients send null for "not given". */
export const nullable = <S extends TSchema>(schema: S) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

/** A field of OpenAI's that is taken only with the values that change nothing. */
export const neutralOnly = (values: readonly unknown[], refusal: string) =>
  Type.Optional(
    Type.Unsafe<unknown>({ enum: values, refusal, description: `Not supported: ${refusal}.` }),
  );

export const sharedFields = {
  model: Type.String({ minLength: 1, description: "A policy's id, or a preset's." }),
  stream: nullable(
    Type.Boolean({ default: false, description: "Answer with server-sent events." }),
  ),
  stream_options: nullable(
    Type.Object(
      {
        include_usage: Type.Optional(
          Type.Boolean({ description: "A last chunk carries `usage`." }),
        ),
        include_obfuscation: neutralOnly([false], "chunks are never padded"),
      },
      { additionalProperties: false },
    ),
  ),
  n: nullable(Type.Integer({ minimum: 1, default: 1, description: "Answers to return." })),
  temperature: nullable(Type.Number({ minimum: 0, maximum: 2, default: 1 })),
  top_p: nullable(Type.Number({ minimum: 0, maximum: 1, default: 1 })),
  top_k: nullable(Type.Integer({ minimum: 0, default: 0, description: "0 keeps all tokens." })),
  min_p: nullable(Type.Number({ minimum: 0, maximum: 1, default: 0 })),
  frequency_penalty: nullable(Type.Number({ minimum: -2, maximum: 2, default: 0 })),
  presence_penalty: nullable(Type.Number({ minimum: -2, maximum: 2, default: 0 })),
  logit_bias: nullable(
    Type.Record(Type.String(), Type.Number({ minimum: -100, maximum: 100 }), {
      description: "Token id → added to its logit.",
    }),
  ),
  seed: nullable(
    Type.Integer({
      minimum: Number.MIN_SAFE_INTEGER,
      maximum: Number.MAX_SAFE_INTEGER,
      description: "With `system_fingerprint`, reproduces the answer.",
    }),
  ),
  stop: nullable(
    Type.Union([
      Type.String({ minLength: 1 }),
      Type.Array(Type.String({ minLength: 1 }), { maxItems: 4 }),
    ]),
  ),
  user: nullable(Type.String({ description: "Logged with the answer." })),
  metadata: nullable(
    Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 512 }), {
      maxProperties: 16,
      description: "Logged with the answer.",
    }),
  ),
  store: nullable(
    Type.Boolean({ default: true, description: "False: this answer leaves no record." }),
  ),
  alignment: nullable(alignmentField),
  // They concern the provider's operations, never the answer.
  safety_identifier: nullable(Type.String()),
  prompt_cache_key: nullable(Type.String()),
  service_tier: neutralOnly([null, "auto", "default"], "there is one tier"),
};

type Nullish<T> = T | null | undefined;

interface SharedBody {
  readonly n?: Nullish<number>;
  readonly temperature?: Nullish<number>;
  readonly top_p?: Nullish<number>;
  readonly top_k?: Nullish<number>;
  readonly min_p?: Nullish<number>;
  readonly frequency_penalty?: Nullish<number>;
  readonly presence_penalty?: Nullish<number>;
  readonly logit_bias?: Nullish<Readonly<Record<string, number>>>;
  readonly seed?: Nullish<number>;
  readonly stop?: Nullish<string | readonly string[]>;
  readonly stream?: Nullish<boolean>;
  readonly stream_options?: Nullish<{ include_usage?: boolean }>;
}

interface Limits {
  readonly maxTokens: number | null;
  readonly topLogprobs: number | null;
  readonly vocabSize: number;
}

/** Wire → ours; what is not given stays out, so that the policy's own defaults apply. */
export function samplingOf(body: SharedBody, limits: Limits): AnswerRequest["sampling"] {
  const { stop } = body;
  return {
    maxTokens: limits.maxTokens,
    ...given({
      temperature: body.temperature,
      topP: body.top_p,
      topK: body.top_k,
      minP: body.min_p,
      frequencyPenalty: body.frequency_penalty,
      presencePenalty: body.presence_penalty,
      seed: body.seed,
      topLogprobs: limits.topLogprobs,
      stop: typeof stop === "string" ? [stop] : stop,
      logitBias: body.logit_bias ? biases(body.logit_bias, limits.vocabSize) : null,
    }),
  };
}

/** @throws GatewayError invalid_request: OpenAI refuses stream options without a stream. */
export function includesUsage({ stream, stream_options: options }: SharedBody): boolean {
  if (options && !stream) {
    const problem = "is only allowed when 'stream' is true";
    throw new GatewayError("invalid_request", { param: "stream_options", problem });
  }
  return options?.include_usage ?? false;
}

/** @throws GatewayError invalid_request where nothing is streamed that could tell of candidates. */
export function checkEvents(events: boolean | null, { stream }: SharedBody): boolean | null {
  if (!events || stream) return events;
  const problem = "is only allowed when 'stream' is true";
  throw new GatewayError("invalid_request", { param: "alignment.events", problem });
}

function biases(logitBias: Readonly<Record<string, number>>, vocabSize: number) {
  const biasOf = new Map<number, number>();
  for (const [key, bias] of Object.entries(logitBias)) {
    biasOf.set(checkToken(key, vocabSize, `logit_bias.${key}`), bias);
  }
  return biasOf;
}

/** @throws GatewayError invalid_request when it is not a token of the vocabulary. */
export function checkToken(token: number | string, vocabSize: number, param: string): number {
  const id = typeof token === "number" ? token : /^\d{1,9}$/.test(token) ? Number(token) : -1;
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return id;
  const problem = `must be a token id from 0 to ${vocabSize - 1}`;
  throw new GatewayError("invalid_request", { param, problem });
}

/** The entries that are neither null nor undefined. */
function given<T extends object>(values: { [K in keyof T]: Nullish<T[K]> }): Partial<T> {
  const entries = Object.entries(values).filter(
    ([, value]) => value !== null && value !== undefined,
  );
  return Object.fromEntries(entries) as Partial<T>; // entries of T without its nulls
}

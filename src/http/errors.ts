/** The only translator: whatever was thrown → status, headers and OpenAI's error shape. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import type { Config } from "../base/config.ts";
import { type ErrorCode, GatewayError } from "../base/errors.ts";
import type { Metrics } from "../base/metrics.ts";

export const errorSchema = Type.Object(
  {
    error: Type.Object(
      {
        message: Type.String({ description: "What happened, and what to do about it." }),
        type: Type.Enum(["invalid_request_error", "rate_limit_error", "server_error"]),
        param: Type.Union([Type.String(), Type.Null()], { description: "The field at fault." }),
        code: Type.String({ description: "One code per cause; never changes." }),
      },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false, description: "Every error has this shape." },
);

export type ErrorBody = Type.Static<typeof errorSchema>;

/** What went wrong in OpenAI's shape. Errors of ours that nobody else can act on show only the id to report. */
export function errorBody(error: unknown, requestId: string): ErrorBody {
  if (!(error instanceof GatewayError)) {
    const message = `The server failed on this request. Report it with its id, ${requestId}.`;
    return { error: { message, type: "server_error", param: null, code: codeOf(error) } };
  }
  const { message, status, param, code } = error;
  return { error: { message, type: errorType(status), param, code } };
}

export const codeOf = (error: unknown) =>
  error instanceof GatewayError ? error.code : "internal_error";

export const statusOf = (error: unknown) => (error instanceof GatewayError ? error.status : 500);

const fullQueues: readonly string[] = [
  "queue_full",
  "socket_full",
  "store_busy",
] satisfies ErrorCode[];

export function countError(metrics: Metrics, error: unknown): void {
  const code = codeOf(error);
  metrics.errors.inc({ code });
  if (fullQueues.includes(code)) metrics.queueRejections.inc({ code });
}

function errorType(status: number): ErrorBody["error"]["type"] {
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/** Fastify's error handler. */
export function createErrorHandler(config: Config, metrics: Metrics) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const error = fromFastify(thrown, request, config);
    const status = statusOf(error);
    countError(metrics, error);
    if (status >= 500) request.log.error({ err: error }, "request failed");
    if (error instanceof GatewayError && error.retryAfterSeconds !== null) {
      void reply.header("retry-after", String(error.retryAfterSeconds));
    }
    if (status === 401) void reply.header("www-authenticate", "Bearer");
    return reply.code(status).send(errorBody(error, request.id));
  };
}

/** Fastify refuses bad bodies and URLs with codes of its own. */
function fromFastify(thrown: unknown, request: FastifyRequest, config: Config): unknown {
  if (thrown instanceof GatewayError || !(thrown instanceof Error)) return thrown;
  // What Fastify's own errors carry.
  const {
    code = "",
    statusCode = 500,
    message,
  } = thrown as Error & { code?: string; statusCode?: number };
  const cause = { cause: thrown };
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") {
    return new GatewayError("body_too_large", { limitBytes: config.bodyBytesMax }, cause);
  }
  if (code === "FST_ERR_CTP_INVALID_MEDIA_TYPE") {
    const contentType = request.headers["content-type"] ?? "none";
    return new GatewayError("unsupported_media_type", { contentType }, cause);
  }
  if (/^FST_ERR_CTP_(EMPTY|INVALID)_JSON_BODY$/.test(code) || isParseError(thrown, statusCode)) {
    return new GatewayError("invalid_json", { problem: message.replace(/\.$/, "") }, cause);
  }
  if (statusCode >= 500) return thrown;
  return new GatewayError(
    "invalid_request",
    { param: null, problem: message.replace(/\.$/, "") },
    cause,
  );
}

/** The body parser's own: bad syntax, or a key such as `__proto__`. */
const isParseError = (error: Error, statusCode: number) =>
  error instanceof SyntaxError && statusCode === 400;

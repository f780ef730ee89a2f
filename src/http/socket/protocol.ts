/**
 * The messages of `GET /v1/stream`, named as OpenAI's Responses events. One JSON object a text frame;
 * `id` is the client's own name for an answer and must be unique among those running on the socket.
 */
import { type Static, Type } from "typebox";
import type { RawData } from "ws";
import { compileCheck } from "../../base/check.ts";
import { GatewayError } from "../../base/errors.ts";
import type { Gateway } from "../../gateway/types.ts";
import type { ErrorBody } from "../errors.ts";
import type { CandidateEvent } from "../openai/candidate-events.ts";
import { askOfChat, type ChatRequest, chatRequestSchema } from "../openai/chat.ts";
import {
  askOfCompletion,
  type CompletionRequest,
  completionRequestSchema,
} from "../openai/completion.ts";
import type { Ask } from "../openai/format.ts";
import { invalidRequest } from "../validate.ts";

const idSchema = Type.String({ minLength: 1, maxLength: 128 });

const createSchema = Type.Object(
  {
    type: Type.Literal("response.create"),
    id: idSchema,
    request: Type.Record(Type.String(), Type.Unknown(), {
      description: "The body of a chat completion; with `prompt`, of a text completion.",
    }),
  },
  { additionalProperties: false },
);

const cancelSchema = Type.Object(
  { type: Type.Literal("response.cancel"), id: idSchema },
  { additionalProperties: false },
);

export type CreateMessage = Static<typeof createSchema>;
export type ClientMessage = CreateMessage | Static<typeof cancelSchema>;

/** `choice` counts OpenAI's choices, `index` the candidates of a search. */
export type ServerMessage =
  | { type: "response.created"; id: string; response_id: string; model: string; created: number }
  /** Deltas are joined when the reader is slow. */
  | ({ id: string } & CandidateEvent)
  /** Final: whoever reads it may keep it. */
  | { type: "response.output_text.delta"; id: string; choice: number; delta: string }
  | ({ type: "response.completed"; id: string } & CompletedBody)
  | ({ type: "error"; id?: string } & ErrorBody);

/** As in the body of an answer that is not streamed. */
interface CompletedBody {
  choices: readonly object[];
  usage: object;
  alignment: object | null;
}

const checks = {
  "response.create": compileCheck(createSchema),
  "response.cancel": compileCheck(cancelSchema),
};
const checkChat = compileCheck(chatRequestSchema);
const checkCompletion = compileCheck(completionRequestSchema);

/** @throws GatewayError invalid_json */
export function parseFrame(data: RawData, isBinary: boolean): unknown {
  if (isBinary) throw new GatewayError("invalid_json", { problem: "the frame is binary" });
  try {
    return JSON.parse((data as Buffer).toString("utf8")); // what `ws` gives unless told otherwise
  } catch (cause) {
    throw new GatewayError("invalid_json", { problem: String(cause) }, { cause });
  }
}

/** The message's `id` if it has one, so that an error about it can carry it. */
export function idOf(message: unknown): string | undefined {
  const id = fieldOf(message, "id");
  return typeof id === "string" ? id : undefined;
}

/** @throws GatewayError invalid_request */
export function checkMessage(message: unknown): ClientMessage {
  const type = fieldOf(message, "type");
  if (type !== "response.create" && type !== "response.cancel") {
    const problem = `must be one of ${Object.keys(checks).join(", ")}`;
    throw new GatewayError("invalid_request", { param: "type", problem });
  }
  const problem = checks[type](message);
  if (problem) throw invalidRequest(problem);
  return message as ClientMessage; // just checked
}

/** @throws GatewayError invalid_request, model_not_found */
export function askOfMessage({ request }: CreateMessage, gateway: Gateway): Ask {
  if (request["stream"] === false) {
    const problem = "must be true or absent: a socket always streams";
    throw new GatewayError("invalid_request", { param: "request.stream", problem });
  }
  const body = { ...request, stream: true };
  const isCompletion = "prompt" in request;
  const problem = isCompletion ? checkCompletion(body) : checkChat(body);
  if (problem) throw invalidRequest(problem, ["request"]);
  // Both casts: just checked.
  if (isCompletion) return askOfCompletion(body as CompletionRequest, gateway);
  return askOfChat(body as unknown as ChatRequest, gateway);
}

function fieldOf(message: unknown, name: string): unknown {
  const isObject = typeof message === "object" && message !== null;
  return isObject ? Object.getOwnPropertyDescriptor(message, name)?.value : undefined;
}

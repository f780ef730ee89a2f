/** One request, one answer: ties the run to its client and sends it whole or as a stream. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { GatewayError } from "../base/errors.ts";
import { startRun } from "./answers.ts";
import type { HttpContext } from "./context.ts";
import type { Ask } from "./openai/format.ts";
import { collectBody, streamChunks } from "./openai/reply.ts";
import { sendEvents } from "./sse.ts";

/** @returns the body, or the reply once it streams. */
export async function respond(
  ask: Ask,
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<object> {
  const { signal } = followClient(reply, context);
  const { observation } = request;
  const route = request.routeOptions.url ?? request.url;
  const run = startRun(ask, context, { route, signal, observation });
  if (!ask.stream) return collectBody(run);
  const { streams } = context.metrics;
  streams.inc({ transport: "sse" });
  reply.raw.once("close", () => streams.dec({ transport: "sse" }));
  return sendEvents(request, reply, streamChunks(run), context.config);
}

/** The signal aborts the moment the client's connection closes before the reply is complete. */
export function followClient(reply: FastifyReply, { running }: HttpContext) {
  const answer = running.begin();
  const leave = () => {
    if (!reply.raw.writableFinished) answer.abort(new GatewayError("client_gone", {}));
    answer.end();
  };
  if (reply.raw.closed) leave();
  else reply.raw.once("close", leave);
  return answer;
}

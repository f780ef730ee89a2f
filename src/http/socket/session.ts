/** One socket: many answers at once, each with its own cancel. Closing it ends them all. */
import type { Socket } from "node:net";
import type { FastifyBaseLogger } from "fastify";
import type { RawData, WebSocket } from "ws";
import { GatewayError } from "../../base/errors.ts";
import { startRun } from "../answers.ts";
import type { HttpContext } from "../context.ts";
import { countError, errorBody, statusOf } from "../errors.ts";
import { counted, type Observation, observe } from "../observe.ts";
import type { RunningAnswer } from "../running.ts";
import { deliver } from "./deliver.ts";
import { tooSlow, watchReader } from "./liveness.ts";
import { createOutbox } from "./outbox.ts";
import { askOfMessage, type CreateMessage, checkMessage, idOf, parseFrame } from "./protocol.ts";

const route = "/v1/stream";
/** Above it, progress is held back and answers wait; the messages that are on their way come on top. */
const bufferBytesMax = 2 ** 20;
/** Errors that a reader who provokes them may leave unread. */
const unreadErrorsMax = 64;

interface Peer {
  /** Names the socket in the log, and in errors of ours that others can only report. */
  readonly requestId: string;
  readonly log: FastifyBaseLogger;
  /** What the socket is written to. */
  readonly connection: Socket;
}

export function openSession(
  socket: WebSocket,
  context: HttpContext,
  { requestId, log, connection }: Peer,
): void {
  const { config, metrics } = context;
  const answers = new Map<string, RunningAnswer>();
  const endAll = () => {
    for (const running of answers.values()) running.abort(new GatewayError("client_gone", {}));
  };
  const outbox = createOutbox(socket, bufferBytesMax);
  let unreadErrors = 0;

  const receive = async (data: RawData, isBinary: boolean): Promise<void> => {
    let id: string | undefined;
    try {
      const frame = parseFrame(data, isBinary);
      id = idOf(frame);
      const message = checkMessage(frame);
      if (message.type === "response.cancel") cancel(message.id);
      else await create(message);
    } catch (error) {
      await refuse(error, id);
    }
  };

  const create = (message: CreateMessage): Promise<void> => {
    const observation = observe(context, route);
    return counted(observation, answer(message, observation));
  };

  const answer = async (message: CreateMessage, observation: Observation): Promise<void> => {
    const { id } = message;
    if (answers.has(id)) throw invalidId("names an answer that is still running on this socket");
    const limit = config.socketAnswersMax;
    if (answers.size >= limit)
      throw new GatewayError("socket_full", { running: answers.size, limit });
    const ask = askOfMessage(message, context.gateway);
    const running = context.running.begin();
    const { signal } = running;
    answers.set(id, running);
    try {
      await deliver(startRun(ask, context, { route, signal, observation }), { id, outbox, signal });
    } finally {
      answers.delete(id);
      outbox.forget(id);
      running.end();
    }
  };

  /** The answer's last message is then the error `cancelled`; after it the id is free. */
  const cancel = (id: string): void => {
    const running = answers.get(id);
    if (!running) throw invalidId("names no answer that is running on this socket");
    running.abort(new GatewayError("cancelled", {}));
  };

  const refuse = async (error: unknown, id: string | undefined): Promise<void> => {
    if (statusOf(error) >= 500) log.error({ err: error }, "answer failed");
    countError(metrics, error);
    unreadErrors += 1;
    if (unreadErrors > unreadErrorsMax) socket.close(tooSlow, "errors are not read");
    const named = id === undefined ? {} : { id };
    await outbox.send({ type: "error", ...named, ...errorBody(error, requestId) });
    unreadErrors -= 1;
  };

  const { keepAliveMs, stallMsMax } = config;
  watchReader(socket, connection, { keepAliveMs, stallMsMax, onStall: endAll });
  metrics.streams.inc({ transport: "websocket" });
  socket.on("message", (data: RawData, isBinary: boolean) => void receive(data, isBinary));
  socket.on("close", () => {
    metrics.streams.dec({ transport: "websocket" });
    endAll();
  });
}

const invalidId = (problem: string) =>
  new GatewayError("invalid_request", { param: "id", problem });

/** Puts the server together: hooks in the order they run, then one line for each route. */

import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import swagger from "@fastify/swagger";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import websocket from "@fastify/websocket";
import fastify, { type FastifyBaseLogger, LogController } from "fastify";
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config.ts";
import { GatewayError } from "../base/errors.ts";
import type { Metrics } from "../base/metrics.ts";
import type { Gateway } from "../gateway/types.ts";
import { createAuth } from "./auth.ts";
import { watchConnections } from "./connections.ts";
import type { App, HttpContext } from "./context.ts";
import { createErrorHandler, errorBody } from "./errors.ts";
import { createObserver } from "./observe.ts";
import { adapterRoutes } from "./routes/adapters.ts";
import { chatRoute } from "./routes/chat.ts";
import { completionsRoute } from "./routes/completions.ts";
import { modelRoutes } from "./routes/models.ts";
import { operationRoutes } from "./routes/operations.ts";
import { rewardsRoute } from "./routes/rewards.ts";
import { streamRoute } from "./routes/stream.ts";
import { createRunning } from "./running.ts";
import { validatorCompiler } from "./validate.ts";

export interface AppOptions {
  readonly gateway: Gateway;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: FastifyBaseLogger;
  /** Of the package, for the OpenAPI document. */
  readonly version: string;
}

/** Closing the app drains it: see `running.ts`. */
export async function buildApp(options: AppOptions): Promise<App> {
  const { config, metrics, log, version } = options;
  const handleError = createErrorHandler(config, metrics);
  const app = fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }), // observe.ts logs them
    bodyLimit: config.bodyBytesMax,
    genReqId: () => `req_${randomUUID().replaceAll("-", "")}`,
    return503OnClosing: false, // ours has OpenAI's shape
    pluginTimeout: 0, // bounds `preClose` too, which waits for the running answers
    frameworkErrors: (error, request, reply) => void handleError(error, request, reply),
    clientErrorHandler: answerBrokenRequest,
    routerOptions: { maxParamLength: 1_024 },
    exposeHeadRoutes: false,
  }).withTypeProvider<TypeBoxTypeProvider>();
  const context: HttpContext = { ...options, running: createRunning() };

  app.removeContentTypeParser("text/plain"); // JSON only
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(() => JSON.stringify); // response schemas document, they never strip
  app.setErrorHandler(handleError);
  app.setNotFoundHandler(({ method, url: path }) => {
    throw new GatewayError("route_not_found", { method, path });
  });
  await app.register(websocket, {
    options: { maxPayload: config.bodyBytesMax },
    preClose: createDrain(app, context),
  });
  addHooks(app, context);
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Plumbline", version },
      components: { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } },
      security: [{ bearer: [] }],
    },
    convertConstToEnum: false,
  });

  chatRoute(app, context);
  completionsRoute(app, context);
  rewardsRoute(app, context);
  modelRoutes(app, context);
  adapterRoutes(app, context);
  streamRoute(app, context);
  operationRoutes(app, context);
  return app;
}

/** WebSocket's close code of a server that stops. */
const goingAway = 1001;

/** Answered to the end, so that a draining server can be watched. */
const probes: ReadonlySet<string | undefined> = new Set(["/healthz", "/readyz", "/metrics"]);

// NOTE: the websocket plugin must have its own onRequest hook first, or it never lets go of the
// sockets that ours refuse.
function addHooks(app: App, context: HttpContext): void {
  const { running, config } = context;
  app.addHook("onRequest", createObserver(context));
  app.addHook("onRequest", async (request, reply) => {
    void reply.header("x-request-id", request.id);
  });
  app.addHook("onRequest", createAuth(config.apiKeys));
  app.addHook("onRequest", async ({ routeOptions }) => {
    const isProbe = probes.has(routeOptions.url);
    if (running.draining && !isProbe) throw new GatewayError("shutting_down", {});
  });
}

/** Runs while the server still listens: what runs may finish, what comes is refused. */
function createDrain(app: App, { running, config }: HttpContext): () => Promise<void> {
  const connections = watchConnections(app.server);
  app.addHook("onClose", async () => connections.stop());
  return async () => {
    await running.drain(config.drainMsMax);
    for (const socket of app.websocketServer.clients) socket.close(goingAway);
    connections.reap();
  };
}

/** Bytes that are not HTTP never reach a route; Node hands over the bare socket. */
function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return;
  const refusal = new GatewayError("invalid_request", {
    param: null,
    problem: "it is not valid HTTP",
  });
  const body = JSON.stringify(errorBody(refusal, ""));
  const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`;
  socket.end(head + body);
}

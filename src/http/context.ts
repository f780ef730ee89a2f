/** What every route is given. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from "fastify";
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config.ts";
import type { Metrics } from "../base/metrics.ts";
import type { Gateway } from "../gateway/types.ts";
import type { Running } from "./running.ts";

export interface HttpContext {
  readonly gateway: Gateway;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly running: Running;
}

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** What a request adds to the metrics: exactly one outcome each, whoever ended it. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Answer } from "../gateway/types.ts";
import type { HttpContext } from "./context.ts";
import { countError, statusOf } from "./errors.ts";
import { countSearch } from "./search-metrics.ts";

export interface Observation {
  /** The first text that the client may keep. */
  sawText(): void;
  sawAnswer(answer: Answer): void;
  sawError(error: unknown): void;
  finish(status: number): void;
}

declare module "fastify" {
  interface FastifyRequest {
    observation: Observation;
  }
}

const switched = 101;
const clientLeft = 499;

/** A hook that watches every request from its headers to its last byte. */
export function createObserver(context: HttpContext) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const observation = observe(context, request.routeOptions.url ?? "none");
    request.observation = observation;
    const startedMs = context.clock.elapsedMs();
    reply.raw.once("close", () => {
      const isSocket = request.ws && !reply.raw.headersSent; // its answers are counted one by one
      const ending = reply.raw.writableFinished ? reply.statusCode : clientLeft;
      const status = isSocket ? switched : ending;
      if (!isSocket) observation.finish(status);
      const ms = Math.round(context.clock.elapsedMs() - startedMs);
      request.log.info({ method: request.method, url: request.url, status, ms }, "request");
    });
  };
}

export function observe({ metrics, clock }: HttpContext, route: string): Observation {
  const startedMs = clock.elapsedMs();
  const seconds = () => (clock.elapsedMs() - startedMs) / 1_000;
  let strategy = "none";
  let firstTextSeconds: number | null = null;
  return {
    sawText() {
      firstTextSeconds ??= seconds();
    },
    sawAnswer({ report, promptTokens, completionTokens }) {
      strategy = report.strategy;
      metrics.candidates.inc({ strategy }, report.candidates.length);
      metrics.rewardCalls.inc({ strategy }, report.cost.rewardCalls);
      metrics.tokens.inc({ kind: "prompt" }, promptTokens);
      metrics.tokens.inc({ kind: "completion" }, completionTokens);
      countSearch(metrics, report);
    },
    sawError: (error) => countError(metrics, error),
    finish(status) {
      metrics.requests.inc({ route, status, strategy });
      metrics.requestSeconds.observe({ route }, seconds());
      if (firstTextSeconds !== null)
        metrics.firstTokenSeconds.observe({ strategy }, firstTextSeconds);
    },
  };
}

/** Counts an answer that is not a request of its own, with the status it would have had as one. */
export async function counted(observation: Observation, work: Promise<void>): Promise<void> {
  let status = 200;
  try {
    await work;
  } catch (error) {
    status = statusOf(error);
    throw error;
  } finally {
    observation.finish(status);
  }
}

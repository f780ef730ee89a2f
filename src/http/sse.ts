/**
 * Server-sent events. The response pulls: while the client does not read, nothing more is asked of the
 * engine. An error before the first event is an ordinary error reply; later it is the last event.
 */
import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { errorBody, statusOf } from "./errors.ts";

export type StreamItem =
  | { readonly data: object /** Its name; without one it is a message. */; readonly event?: string }
  | { readonly comment: string };

export interface StreamLimits {
  /** A silent stream gets a comment this often. */
  readonly keepAliveMs: number;
  /** A client that takes nothing for this long is cut off. */
  readonly stallMsMax: number;
}

/** @throws whatever the first item throws, while the status can still be chosen. */
export async function sendEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  items: AsyncGenerator<StreamItem, void, void>,
  { keepAliveMs, stallMsMax }: StreamLimits,
): Promise<FastifyReply> {
  const frames = framesOf(items, keepAliveMs, request);
  const first = await frames.next();
  // Node restarts this clock with every byte that the client's side takes.
  reply.raw.setTimeout(stallMsMax, () => reply.raw.destroy());
  return reply
    .header("content-type", "text/event-stream; charset=utf-8")
    .header("cache-control", "no-cache")
    .header("x-accel-buffering", "no") // nginx would hold the stream back
    .send(Readable.from(startingWith(first, frames)));
}

async function* framesOf(
  items: AsyncGenerator<StreamItem, void, void>,
  keepAliveMs: number,
  request: FastifyRequest,
): AsyncGenerator<string, void, void> {
  let isOpen = false;
  try {
    for await (const item of withKeepAlive(items, keepAliveMs)) {
      isOpen = true;
      yield frame(item);
    }
    yield "data: [DONE]\n\n";
  } catch (error) {
    if (!isOpen) throw error;
    if (statusOf(error) >= 500) request.log.error({ err: error }, "stream failed");
    request.observation.sawError(error);
    yield frame({ data: errorBody(error, request.id) });
  }
}

/** Waits for each item no longer than the interval, and fills the silence with comments. */
async function* withKeepAlive(
  items: AsyncGenerator<StreamItem, void, void>,
  intervalMs: number,
): AsyncGenerator<StreamItem, void, void> {
  let next = items.next();
  try {
    for (;;) {
      const step = await withinMs(next, intervalMs);
      if (step === "silence") {
        yield { comment: "keep-alive" };
        continue;
      }
      if (step.done) return;
      yield step.value;
      next = items.next();
    }
  } finally {
    await items.return();
  }
}

async function withinMs<T>(promise: Promise<T>, ms: number): Promise<T | "silence"> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<"silence">((resolve) => {
    timer = setTimeout(resolve, ms, "silence");
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}

async function* startingWith(
  first: IteratorResult<string, void>,
  rest: AsyncGenerator<string, void, void>,
): AsyncGenerator<string, void, void> {
  if (!first.done) yield first.value;
  yield* rest;
}

function frame(item: StreamItem): string {
  if ("comment" in item) return `: ${item.comment}\n\n`;
  const name = item.event === undefined ? "" : `event: ${item.event}\n`;
  return `${name}data: ${JSON.stringify(item.data)}\n\n`;
}

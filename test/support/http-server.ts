/** The real server on a free loopback port over a canned gateway, and clients for it. */
import OpenAI from "openai";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { loadConfig } from "../../src/base/config.ts";
import { createMetrics } from "../../src/base/metrics.ts";
import { buildApp } from "../../src/http/app.ts";
import type { ErrorBody } from "../../src/http/errors.ts";
import { type CannedOptions, createCannedGateway } from "./canned-gateway.ts";

export interface ServerOptions extends CannedOptions {
  /** Setting name → text, as on the command line. */
  readonly flags?: Readonly<Record<string, string>>;
}

/** Closes itself when the test ends; with `afterAll`, a file's tests share it. */
export async function startServer(
  { flags = {}, ...canned }: ServerOptions = {},
  onEnd: (close: () => Promise<void>) => void = onTestFinished,
) {
  const gateway = createCannedGateway(canned);
  const metrics = createMetrics();
  const app = await buildApp({
    gateway,
    config: loadConfig({ flags, environment: {} }),
    metrics,
    clock: systemClock,
    log: pino({ level: "silent" }),
    version: "0.0.0-test",
  });
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  onEnd(async () => {
    await app.close();
    metrics.close();
  });
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "key-1", maxRetries: 0 });
  const post = (path: string, body: unknown) =>
    fetch(url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  return { app, url, client, gateway, post };
}

/** Opens when told to: `step` waits for it. */
export function createGate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { step: () => opened, open };
}

/** The `error` of a reply in OpenAI's shape. */
export async function errorOf(reply: Response) {
  const { error } = (await reply.json()) as ErrorBody;
  return error;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Resolves once the condition holds; checked after every turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** Resolves once the count has not changed for 200 turns of the event loop. */
export async function untilStill(count: () => number): Promise<void> {
  for (let seen = Number.NaN; seen !== count(); ) {
    seen = count();
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

/**
 * One address that is asked over HTTP with JSON. What happens when:
 * - the connection is refused or lost, 429, 503: asked again, `retries` times, after a random wait that doubles
 *   (full jitter), or after Retry-After where that is at most 10 s; then `reward_source_failed`;
 * - no whole reply within `timeout_ms`: the connection is closed and `reward_source_failed`, not asked again;
 * - a redirect, another status, a reply that is not JSON or longer than 8 MiB: `reward_source_failed` at once;
 *   redirects are never followed, since conversation and key would go where nobody named them;
 * - 400, 413, 422: `reward_source_refused`, with the beginning of what it said; this alone is no failure of the source;
 * - the signal aborts: the connection is closed, and it rejects with the signal's reason;
 * - `failures_max` calls failed in a row: for `pause_ms` it is not asked, and the error says so.
 * Errors show the address without its query, and never a header.
 */
import { setTimeout as wait } from "node:timers/promises";
import type { Clock } from "../../base/clock.ts";
import { GatewayError } from "../../base/errors.ts";
import { createRandom, freshSeed } from "../../base/random.ts";
import { createCircuit, type Failure } from "./circuit.ts";
import { addressOf, headersOf, type SourceSettings } from "./options.ts";

export interface Source {
  /** As errors show it. */
  readonly url: string;
  /** @throws GatewayError reward_source_failed, reward_source_refused */
  post(body: unknown, signal: AbortSignal): Promise<unknown>;
  failure(problem: string, remedy: string): GatewayError;
}

type Outcome =
  | { readonly kind: "reply"; readonly value: unknown }
  | { readonly kind: "refused"; readonly status: number; readonly reply: string }
  | Failed;

interface Failed extends Failure {
  readonly kind: "failed";
  /** Whether it may be otherwise soon. */
  readonly isPassing: boolean;
  /** What Retry-After asks for. */
  readonly retryAfterMs?: number;
}

interface Call {
  readonly address: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const waitMsMax = 10_000;
const replyBytesMax = 8 * 2 ** 20;
const shownCharacters = 200;

/** @throws GatewayError config_invalid, invalid_request for settings that cannot be used. */
export function createSource(reward: string, settings: SourceSettings, clock: Clock): Source {
  const address = addressOf(settings.url);
  const url = address.origin + address.pathname;
  const headers = headersOf(settings);
  const { timeout_ms: timeoutMs, retries, retry_wait_ms: retryWaitMs } = settings;
  const { failures_max: failuresMax, pause_ms: pauseMs } = settings;
  const circuit = createCircuit({ failuresMax, pauseMs }, clock);
  const random = createRandom(freshSeed());
  const failure = (problem: string, remedy: string) =>
    new GatewayError("reward_source_failed", { reward, url, problem, remedy });

  function refuseWhileOpen(): void {
    const open = circuit.open();
    if (open === null) return;
    const seconds = Math.ceil(open.remainingMs / 1_000);
    const problem = `it is not asked for ${seconds} s more, after ${open.failures} failures in a row (the last: ${open.last.problem})`;
    throw failure(problem, open.last.remedy);
  }

  /** Null: it is not worth it. */
  function waitBefore(attempt: number, { isPassing, retryAfterMs }: Failed): number | null {
    if (!isPassing || attempt > retries) return null;
    if (retryAfterMs !== undefined) return retryAfterMs <= waitMsMax ? retryAfterMs : null;
    return random.uniform() * Math.min(waitMsMax, retryWaitMs * 2 ** attempt);
  }

  async function post(body: unknown, signal: AbortSignal): Promise<unknown> {
    refuseWhileOpen();
    const call: Call = { address, headers, body: JSON.stringify(body), timeoutMs, signal };
    for (let attempt = 1; ; attempt++) {
      const outcome = await ask(call);
      if (outcome.kind !== "failed") {
        circuit.succeeded();
        if (outcome.kind === "reply") return outcome.value;
        const { status, reply } = outcome;
        throw new GatewayError("reward_source_refused", { reward, url, status, reply });
      }
      const waitMs = waitBefore(attempt, outcome);
      if (waitMs === null) {
        circuit.failed(outcome);
        const times = attempt === 1 ? "" : `, ${attempt} times`;
        throw failure(outcome.problem + times, outcome.remedy);
      }
      await wait(waitMs, undefined, { signal }).catch((error: unknown) => {
        signal.throwIfAborted(); // with the client's own reason
        throw error;
      });
    }
  }

  return { url, post, failure };
}

/** One attempt. Rejects with the signal's reason when that is aborted. */
async function ask({ address, headers, body, timeoutMs, signal }: Call): Promise<Outcome> {
  signal.throwIfAborted();
  // NOTE: no AbortSignal.any of AbortSignal.timeout: Node may collect the timeout before it fires
  // (https://github.com/nodejs/node/pull/57867).
  const attempt = new AbortController();
  const stop = () => attempt.abort();
  const timer = setTimeout(stop, timeoutMs);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const response = await fetch(address, {
      method: "POST",
      headers,
      body,
      redirect: "manual",
      signal: attempt.signal,
    });
    return outcomeOf(response, await textOf(response));
  } catch (error) {
    signal.throwIfAborted();
    if (attempt.signal.aborted) return hung(timeoutMs);
    if (error instanceof TypeError) return lost(error); // fetch's own word for every fault of the network
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

/** Null: longer than it may be. */
async function textOf({ body }: Response): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > replyBytesMax) return null; // leaving the loop closes the connection
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function outcomeOf({ status, headers }: Response, text: string | null): Outcome {
  if (text === null) {
    return failed(`its reply is longer than ${replyBytesMax} bytes`, checkAddress);
  }
  if (status === 429 || status === 503) {
    const seconds = Number(headers.get("retry-after") ?? Number.NaN);
    return {
      ...failed(`it is overloaded (status ${status})`, "Lower max_concurrent, or raise retries."),
      isPassing: true,
      ...(Number.isFinite(seconds) && { retryAfterMs: seconds * 1_000 }),
    };
  }
  if (status === 400 || status === 413 || status === 422) {
    return { kind: "refused", status, reply: text.slice(0, shownCharacters) };
  }
  if (status >= 300 && status < 400) return redirected(status, headers.get("location"));
  if (status === 401 || status === 403) {
    const remedy = "Let api_key_variable name an environment variable that holds a valid key.";
    return failed(`it does not know the key (status ${status})`, remedy);
  }
  if (status >= 400) {
    const remedy = status < 500 ? checkAddress : "Its own log says why.";
    return failed(`it answered with status ${status}`, remedy);
  }
  const value = parseReply(text);
  if (value !== undefined) return { kind: "reply", value };
  const type = headers.get("content-type") ?? "no content type";
  // NOTE: not what it says: a call holds texts of several clients, and a reply may repeat them.
  return failed(`its reply is not JSON (${type}, ${text.length} characters)`, checkAddress);
}

const checkAddress = "Check that url is the address of the route.";

const failed = (problem: string, remedy: string): Failed => ({
  kind: "failed",
  problem,
  remedy,
  isPassing: false,
});

const hung = (timeoutMs: number) =>
  failed(
    `there was no whole reply within ${timeoutMs} ms`,
    "Raise timeout_ms, or see why it hangs.",
  );

function lost({ message, cause }: TypeError): Failed {
  const why = cause instanceof Error ? cause : { message };
  const code = "code" in why && typeof why.code === "string" ? why.code : why.message;
  const remedy = "Check that the server runs, and that url is its address.";
  return { ...failed(`the connection failed (${code})`, remedy), isPassing: true };
}

function redirected(status: number, location: string | null): Failed {
  const to = location !== null && URL.canParse(location) ? new URL(location) : null;
  const where = to === null ? "" : ` to ${to.origin}${to.pathname}`;
  const remedy = "Redirects are not followed: let url be the final address.";
  return failed(`it redirects${where} (status ${status})`, remedy);
}

/** Undefined: not JSON. A bare NaN or Infinity, which Python writes and JSON does not have, becomes null. */
function parseReply(text: string): unknown {
  const mended = () =>
    text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\bInfinity\b|\bNaN\b/g, (part) =>
      part.startsWith('"') ? part : "null",
    );
  for (const spelling of [() => text, mended]) {
    try {
      return JSON.parse(spelling()) as unknown;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return undefined;
}

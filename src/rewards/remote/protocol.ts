/**
 * What rewards served elsewhere share: answers that wait together go in one call, and come back as one score each.
 * - too few, too many or wrongly numbered scores: all answers of the call fail, since none can be told to be whose;
 * - null, NaN or no number for one answer: that answer alone fails;
 * - a call of several answers that is refused (400, 413, 422): each is asked alone, so that one too long for the model
 *   fails by itself.
 * A revision says by what means and options it was judged; the model behind an address may change without our notice.
 */
import type { Static, TSchema } from "typebox";
import { compileCheck, dottedPath } from "../../base/check.ts";
import type { Clock } from "../../base/clock.ts";
import { GatewayError } from "../../base/errors.ts";
import type { Reward } from "../define.ts";
import { revisionOf } from "../rule.ts";
import { createCallQueue } from "./call-queue.ts";
import type { Judged } from "./conversation.ts";
import type { RemoteSettings } from "./options.ts";
import { createSource, type Source } from "./source.ts";

export interface Protocol<I> {
  /** The kind's name. */
  readonly name: string;
  /** Options of its own, all of which decide what is scored. */
  readonly judging: object;
  /** Answers of one call. */
  readonly batchMax: number;
  /** Only answers of one key share a call. Unset: all may. */
  readonly keyOf?: (input: I) => string;
  /** What is sent of an answer and its conversation; what it throws is that answer's fault alone. */
  readonly inputOf: (judged: Judged) => I;
  readonly body: (batch: readonly I[]) => unknown;
  /**
   * One score for each answer, in order, as the server wrote it.
   * @throws WrongReply
   */
  readonly read: (reply: unknown, count: number) => readonly unknown[];
}

/** A reply that is not of the protocol's form; completes the sentence "its reply …". */
export class WrongReply extends Error {
  override readonly name = "WrongReply";
}

interface RemoteParts {
  readonly id: string;
  readonly settings: RemoteSettings;
  readonly clock: Clock;
}

export function remoteReward<I>(
  { id, settings, clock }: RemoteParts,
  protocol: Protocol<I>,
): Reward {
  const { url, max_concurrent: concurrentMax, waiting_max: waitingMax } = settings;
  const source = createSource(id, settings, clock);
  const queue = createCallQueue<I, number>({
    concurrentMax,
    batchMax: protocol.batchMax,
    waitingMax,
    keyOf: protocol.keyOf ?? (() => ""),
    call: (batch, signal) => judge(source, protocol, { batch, signal }),
    full: () => tooManyWait(source, waitingMax),
  });
  return {
    id,
    revision: revisionOf(protocol.name, url, protocol.judging),
    acceptsPrefixes: settings.accepts_prefixes,
    open: ({ messages }, signal) => ({
      score: async (text) => queue.ask(protocol.inputOf({ messages, text }), signal),
      close: () => undefined,
    }),
  };
}

export const tooManyWait = (source: Source, waitingMax: number) =>
  source.failure(`${waitingMax} texts wait for it already`, "Raise max_concurrent or waiting_max.");

/** The schema's reader: what a reply says, or WrongReply with the field at fault. */
export function replyReader<S extends TSchema>(schema: S): (reply: unknown) => Static<S> {
  const check = compileCheck(schema);
  return (reply) => {
    const fault = check(reply);
    if (fault === null) return reply as Static<S>; // it has just been checked
    const where = dottedPath(fault.path);
    throw new WrongReply(
      `is not of its form: ${where === null ? "it" : `'${where}'`} ${fault.problem}`,
    );
  };
}

/** Values by their index, each of 0 … count − 1 once. @throws WrongReply */
export function inOrder(
  rows: readonly { readonly index: number; readonly value: unknown }[],
  count: number,
): unknown[] {
  const values = new Map(rows.map(({ index, value }) => [index, value]));
  const isWhole = Array.from({ length: count }, (_, index) => values.has(index)).every(Boolean);
  if (rows.length === count && isWhole) return rows.map((_, index) => values.get(index));
  throw wrongCount(rows.length, count);
}

const wrongCount = (given: number, count: number) =>
  new WrongReply(`has ${given} scores, not one for each of ${count} texts`);

async function judge<I>(
  source: Source,
  protocol: Protocol<I>,
  { batch, signal }: { batch: readonly I[]; signal: AbortSignal },
): Promise<(number | GatewayError)[]> {
  try {
    const reply = await source.post(protocol.body(batch), signal);
    const scores = protocol.read(reply, batch.length);
    if (scores.length !== batch.length) throw wrongCount(scores.length, batch.length);
    return scores.map((score) => numberOrError(source, score));
  } catch (error) {
    if (error instanceof WrongReply) {
      const remedy = `Check that url is the address of a route that speaks ${protocol.name}.`;
      throw source.failure(`its reply ${error.message}`, remedy);
    }
    if (!isRefusal(error)) throw error;
    if (batch.length === 1) return [error];
  }
  const results: (number | GatewayError)[] = [];
  for (const each of batch) {
    results.push(...(await judge(source, protocol, { batch: [each], signal })));
  }
  return results;
}

const isRefusal = (error: unknown): error is GatewayError =>
  error instanceof GatewayError && error.code === "reward_source_refused";

function numberOrError(source: Source, score: unknown): number | GatewayError {
  if (typeof score === "number" && Number.isFinite(score)) return score;
  const what = typeof score === "number" || score === null ? String(score) : `a ${typeof score}`;
  const remedy = "A null often stands for NaN: the server's log may say why its model gives none.";
  return source.failure(`its score is ${what}, no number`, remedy);
}

/**
 * Calls to a source, so many at once, of so many items each: what waits together goes together. An item whose
 * client leaves is dropped; a call that nobody waits for any more is aborted. Knows nothing of HTTP.
 */

export interface CallQueueParts<T, R> {
  /** Calls at once. */
  readonly concurrentMax: number;
  /** Items of a call. */
  readonly batchMax: number;
  /** Items that may wait for a call. */
  readonly waitingMax: number;
  /** Only items of one key share a call. */
  readonly keyOf: (item: T) => string;
  /** @returns one result for each item, in order; an error is that item's alone. Rejects for all of them. */
  readonly call: (items: readonly T[], signal: AbortSignal) => Promise<readonly (R | Error)[]>;
  /** What an item is told that finds too many waiting. */
  readonly full: () => Error;
}

export interface CallQueue<T, R> {
  /** Rejects with the signal's reason once that is aborted. */
  ask(item: T, signal: AbortSignal): Promise<R>;
}

interface Entry<T, R> {
  readonly item: T;
  readonly key: string;
  readonly signal: AbortSignal;
  readonly resolve: (result: R) => void;
  readonly reject: (reason: unknown) => void;
  /** What the client's leaving means: another thing while it waits than while it is asked. */
  onLeave: () => void;
}

export function createCallQueue<T, R>(parts: CallQueueParts<T, R>): CallQueue<T, R> {
  const waiting: Entry<T, R>[] = [];
  let running = 0;
  let isPumpDue = false;

  function ask(item: T, signal: AbortSignal): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      signal.throwIfAborted(); // a throw in here rejects
      if (waiting.length >= parts.waitingMax) throw parts.full();
      const entry: Entry<T, R> = {
        item,
        key: parts.keyOf(item),
        signal,
        ...listening(signal, () => entry.onLeave(), { resolve, reject }),
        onLeave: () => void waiting.splice(waiting.indexOf(entry), 1),
      };
      waiting.push(entry);
      if (isPumpDue) return;
      isPumpDue = true;
      setImmediate(pump); // so that candidates that end in the same turn share a call
    });
  }

  function pump(): void {
    isPumpDue = false;
    while (running < parts.concurrentMax && waiting.length > 0) {
      running++;
      void run(takeBatch(waiting, parts.batchMax)).then(() => {
        running--;
        pump();
      });
    }
  }

  /** Settles every entry; never rejects. */
  async function run(batch: readonly Entry<T, R>[]): Promise<void> {
    const control = new AbortController();
    let present = batch.length;
    for (const entry of batch) {
      entry.onLeave = () => {
        present--;
        if (present === 0) control.abort();
      };
    }
    try {
      const items = batch.map(({ item }) => item);
      const results = await parts.call(items, control.signal);
      for (const [at, { resolve, reject }] of batch.entries()) {
        const result = results[at]!;
        if (result instanceof Error) reject(result);
        else resolve(result);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error); // whoever left has its own reason already
    }
  }

  return { ask };
}

/** A promise's ends that stop listening to the signal once one of them is used. */
function listening<R>(
  signal: AbortSignal,
  onLeave: () => void,
  ends: { resolve: (result: R) => void; reject: (reason: unknown) => void },
): Pick<Entry<unknown, R>, "resolve" | "reject"> {
  // One function for each item: a signal takes the same listener only once.
  const leave = () => {
    onLeave();
    ends.reject(signal.reason);
  };
  signal.addEventListener("abort", leave, { once: true });
  const settled =
    <V>(end: (value: V) => void) =>
    (value: V) => {
      signal.removeEventListener("abort", leave);
      end(value);
    };
  return { resolve: settled(ends.resolve), reject: settled(ends.reject) };
}

/** The first in line, and those after it that may share its call. */
function takeBatch<T, R>(waiting: Entry<T, R>[], batchMax: number): Entry<T, R>[] {
  const { key } = waiting[0]!;
  const batch = waiting.filter((entry) => entry.key === key).slice(0, batchMax);
  const taken = new Set(batch);
  waiting.splice(0, waiting.length, ...waiting.filter((entry) => !taken.has(entry)));
  return batch;
}

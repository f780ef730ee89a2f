/** Callbacks in, an async generator out: how a running search is watched while it runs. */

/** Does the work, tells of it by `emit`, ends early when its signal aborts. */
export type Producer<E, R> = (emit: (event: E) => void, signal: AbortSignal) => Promise<R>;

/**
 * Runs the producer; yields its events in order and returns its result.
 * A reader that stops early aborts the producer's signal, and its `return` resolves only once the
 * producer has settled, so that whatever it held is free by then.
 * Events wait here unbounded while nobody reads: give it only work that is itself bounded.
 * @throws what the producer rejects with, after the events that came before.
 */
export async function* eventStream<E, R>(
  signal: AbortSignal,
  produce: Producer<E, R>,
): AsyncGenerator<E, R, void> {
  const abandoned = new AbortController();
  let waiting: E[] = [];
  let wake = () => {};
  let settled = false;
  const emit = (event: E) => {
    waiting.push(event);
    wake();
  };
  const settle = () => {
    settled = true;
    wake();
  };
  const result = produce(emit, AbortSignal.any([signal, abandoned.signal]));
  result.then(settle, settle); // the outcome itself is awaited below
  try {
    while (!settled || waiting.length > 0) {
      if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const batch = waiting;
      waiting = [];
      yield* batch;
    }
    return await result;
  } finally {
    if (!settled) {
      abandoned.abort();
      await result.then(settle, settle);
    }
  }
}

/**
 * Runs what may take forever on hostile input, a regular expression above all, for so long and no longer.
 * It runs on this thread: V8 interrupts it, backtracking included, when its time is up. A worker would keep the
 * thread free, at 30 ms and several megabytes a request; a limit of some milliseconds costs less than that.
 */
import { createContext, Script } from "node:vm";

/** Milliseconds that one call may take, and that all calls of one holder may take together. */
export interface TimeAllowance {
  readonly callMs: number;
  readonly totalMs: number;
}

const script = new Script("run()");

/**
 * A runner with an allowance of its own: once that is spent, it runs nothing more.
 * Cost of a call: about 0.1 ms, for the thread that watches the clock.
 * @param now milliseconds that only rise
 * @returns a function that gives `{ value }`, or null for what ran out of time.
 */
export function createBounded({ callMs, totalMs }: TimeAllowance, now: () => number) {
  let leftMs = totalMs;
  const context: { run: () => unknown } = { run: () => undefined };
  createContext(context);
  return <T>(run: () => T): { readonly value: T } | null => {
    if (leftMs < 1) return null;
    const started = now();
    context.run = run;
    try {
      // The script does nothing but call `run`.
      return {
        value: script.runInContext(context, { timeout: Math.ceil(Math.min(callMs, leftMs)) }) as T,
      };
    } catch (error) {
      if (isTimeout(error)) return null;
      throw error;
    } finally {
      context.run = () => undefined;
      leftMs -= Math.min(callMs, now() - started); // what a busy machine takes beyond is not the pattern's
    }
  };
}

// NOTE: the error is of the context's own realm, where Error is another.
const isTimeout = (error: unknown) =>
  typeof error === "object" &&
  error !== null &&
  "code" in error &&
  error.code === "ERR_SCRIPT_EXECUTION_TIMEOUT";

/** Writes records, and remembers whether the log took the last ones: a server that cannot log is not ready. */
import type { Clock } from "../base/clock.ts";
import { GatewayError } from "../base/errors.ts";
import type { Store } from "../store/store.ts";
import type { RequestRecord } from "../store/types.ts";

/** Long enough for a probe to see it; then traffic is let in again, which alone can show a recovery. */
const problemMs = 10_000;

export interface Recorder {
  /** Resolves when the record is durable. @throws GatewayError store_failed, store_busy */
  append(record: RequestRecord): Promise<void>;
  /** Why the log cannot be written, or null. */
  problem(): string | null;
}

/** @param store null: records go nowhere. */
export function createRecorder(store: Pick<Store, "append"> | null, clock: Clock): Recorder {
  let failure: { problem: string; atMs: number } | null = null;
  return {
    async append(record) {
      try {
        await store?.append(record);
        failure = null;
      } catch (error) {
        if (error instanceof GatewayError && error.code === "store_failed") {
          failure = { problem: error.message, atMs: clock.elapsedMs() };
        }
        throw error;
      }
    },
    problem() {
      if (failure === null || clock.elapsedMs() - failure.atMs > problemMs) return null;
      return failure.problem;
    },
  };
}

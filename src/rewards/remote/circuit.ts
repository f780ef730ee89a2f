/** Spares a source that keeps failing: after some failures in a row it is left alone for a while. */
import type { Clock } from "../../base/clock.ts";

export interface CircuitSettings {
  /** Failures in a row that open it. */
  readonly failuresMax: number;
  /** How long it stays open. */
  readonly pauseMs: number;
}

export interface Failure {
  readonly problem: string;
  readonly remedy: string;
}

export interface Circuit {
  /** While open: for how long still, after how many failures, and the last of them. Null: ask. */
  open(): {
    readonly remainingMs: number;
    readonly failures: number;
    readonly last: Failure;
  } | null;
  succeeded(): void;
  failed(failure: Failure): void;
}

/** After the pause everything is asked again; one more failure opens it anew, one success forgets them all. */
export function createCircuit({ failuresMax, pauseMs }: CircuitSettings, clock: Clock): Circuit {
  let failures = 0;
  let openUntil = Number.NEGATIVE_INFINITY;
  let last: Failure | null = null;
  return {
    open() {
      const remainingMs = openUntil - clock.elapsedMs();
      return remainingMs > 0 && last !== null ? { remainingMs, failures, last } : null;
    },
    succeeded() {
      failures = 0;
      openUntil = Number.NEGATIVE_INFINITY;
    },
    failed(failure) {
      failures++;
      last = failure;
      if (failures >= failuresMax) openUntil = clock.elapsedMs() + pauseMs;
    },
  };
}

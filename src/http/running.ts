/**
 * The answers being produced, over HTTP and sockets alike. Each is tied to its client: when that goes,
 * its signal aborts at once. A stop lets the running ones finish, then cuts what is left.
 */
import { GatewayError } from "../base/errors.ts";

export interface RunningAnswer {
  readonly signal: AbortSignal;
  abort(reason: GatewayError): void;
  /** Must be called once it is over, however it ended. Idempotent. */
  end(): void;
}

export interface Running {
  readonly draining: boolean;
  /** @throws GatewayError shutting_down */
  begin(): RunningAnswer;
  /** Admits no more; resolves when none is left, at the latest after the deadline, which aborts them. */
  drain(deadlineMs: number): Promise<void>;
}

export function createRunning(): Running {
  const controllers = new Set<AbortController>();
  let draining = false;
  let onEmpty = () => {};
  return {
    get draining() {
      return draining;
    },
    begin() {
      if (draining) throw new GatewayError("shutting_down", {});
      const controller = new AbortController();
      controllers.add(controller);
      return {
        signal: controller.signal,
        abort: (reason) => controller.abort(reason),
        end() {
          controllers.delete(controller);
          if (controllers.size === 0) onEmpty();
        },
      };
    },
    async drain(deadlineMs) {
      draining = true;
      if (controllers.size === 0) return;
      const empty = new Promise<void>((resolve) => {
        onEmpty = resolve;
      });
      const cut = setTimeout(() => {
        for (const controller of controllers)
          controller.abort(new GatewayError("shutting_down", {}));
      }, deadlineMs);
      await empty;
      clearTimeout(cut);
    },
  };
}

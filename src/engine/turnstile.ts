/** Lets one task through at a time, in order of arrival. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../base/clock.ts";

export class Turnstile {
  readonly #clock: Clock;
  #last: Promise<unknown> = Promise.resolve();
  #gathering: Promise<void> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns the milliseconds the task took, waiting not included; rejects with the task's error. */
  async through(task: () => Promise<void>): Promise<number> {
    const mine = this.#last.then(async () => {
      const started = this.#clock.elapsedMs();
      await task();
      return this.#clock.elapsedMs() - started;
    });
    this.#last = mine.catch(() => undefined); // the next task does not care how this one ended
    return mine;
  }

  /**
   * Resolves when all that came before has gone through and whoever waited for it has gone on: what is put together then,
   * rather than before standing in line, takes along what they ask for. One after the other: who comes while another waits
   * here waits for that one's task as well, so that neither asks again at the same moment for ever.
   */
  quiet(): Promise<void> {
    const mine = this.#quietAfter(this.#gathering);
    this.#gathering = mine;
    return mine;
  }

  async #quietAfter(earlier: Promise<void>): Promise<void> {
    await earlier;
    await nextTurn(); // by now its task is in line
    await this.#last;
    await nextTurn();
  }
}

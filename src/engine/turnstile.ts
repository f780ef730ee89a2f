/** Lets one task through at a time, in order of arrival. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../base/clock.ts";

export class Turnstile {
  readonly #clock: Clock;
  #last: Promise<unknown> = Promise.resolve();

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
   * Resolves when all that came before has gone through and whoever waited for it has gone on. What is put together
   * after that, rather than while it would wait in line, takes along what they ask for.
   */
  async quiet(): Promise<void> {
    await this.#last;
    await nextTurn();
  }
}

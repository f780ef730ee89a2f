/** A turnstile that says how many runs went through it. */
import { systemClock } from "../../src/base/clock.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";

export class CountingTurnstile extends Turnstile {
  runs = 0;

  constructor() {
    super(systemClock);
  }

  override through(task: () => Promise<void>): Promise<number> {
    this.runs += 1;
    return super.through(task);
  }
}

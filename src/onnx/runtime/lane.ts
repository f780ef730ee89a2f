/**
 * Turns at a device. ONNX Runtime's WebGPU provider has one context for the whole process, and two
 * threads in it crash: runs of two sessions, a copy beside a run, a tensor released during one. So
 * whatever touches it takes turns. The CPU and CUDA need none.
 */
import { assert } from "../../base/assert.ts";

export interface Lane {
  /** Starts the task when its turn comes; settles as it does. */
  run<T>(task: () => Promise<T>): Promise<T>;
  /** Runs the task at once. @throws InvariantError when others are at work. */
  now<T>(task: () => T): T;
  /** Runs the task, which must not throw, at once if nobody is at work, else in its turn. */
  release(task: () => void): void;
}

/** No turns: everything at once. */
export const openLane: Lane = {
  run: (task) => task(),
  now: (task) => task(),
  release: (task) => task(),
};

/** One at a time, first come, first served. */
export function singleLane(): Lane {
  let last: Promise<unknown> = Promise.resolve();
  let unfinished = 0;
  const run = <T>(task: () => Promise<T>): Promise<T> => {
    unfinished += 1;
    const result = last.then(task).finally(() => {
      unfinished -= 1;
    });
    last = result.catch(() => undefined); // the caller sees the failure; the next turn does not
    return result;
  };
  return {
    run,
    now(task) {
      assert(unfinished === 0, "the device is at work: use the asynchronous call");
      return task();
    },
    release(task) {
      if (unfinished === 0) task();
      else void run(async () => task());
    },
  };
}

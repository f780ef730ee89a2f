import { describe, expect, test } from "vitest";
import { openLane, singleLane } from "../../../src/onnx/runtime/lane.ts";

/** A promise and its two ends. */
function deferred() {
  let resolve: () => void = () => undefined;
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<void>((resolved, rejected) => {
    resolve = resolved;
    reject = rejected;
  });
  return { promise, resolve, reject };
}

describe("a single lane", () => {
  test("starts a task when the one before it has settled, even badly", async () => {
    const lane = singleLane();
    const log: string[] = [];
    const [first, second] = [deferred(), deferred()];
    const runs = [first, second].map(({ promise }, i) =>
      lane.run(async () => {
        log.push(`start ${i}`);
        await promise;
        return i;
      }),
    );
    await new Promise(setImmediate);
    expect(log).toEqual(["start 0"]);
    first.reject(new Error("broken"));
    await expect(runs[0]).rejects.toThrow("broken");
    await new Promise(setImmediate);
    expect(log).toEqual(["start 0", "start 1"]);
    second.resolve();
    expect(await runs[1]).toBe(1);
  });

  test("releases at once when idle, and otherwise in turn, in order", async () => {
    const lane = singleLane();
    const log: string[] = [];
    lane.release(() => log.push("idle"));
    expect(log).toEqual(["idle"]);
    const work = deferred();
    const run = lane.run(() => work.promise);
    lane.release(() => log.push("a"));
    lane.release(() => log.push("b"));
    expect(log).toEqual(["idle"]);
    work.resolve();
    await run;
    await lane.run(async () => log.push("later"));
    expect(log).toEqual(["idle", "a", "b", "later"]);
  });

  test("has no place for synchronous work while busy", async () => {
    const lane = singleLane();
    const work = deferred();
    const run = lane.run(() => work.promise);
    expect(() => lane.now(() => 1)).toThrow("the device is at work");
    work.resolve();
    await run;
    expect(lane.now(() => 1)).toBe(1);
  });
});

test("the open lane lets everything run at once", async () => {
  const work = deferred();
  const run = openLane.run(() => work.promise);
  expect(openLane.now(() => 2)).toBe(2);
  work.resolve();
  await run;
});

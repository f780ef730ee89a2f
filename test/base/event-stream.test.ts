import { describe, expect, test } from "vitest";
import { eventStream } from "../../src/base/event-stream.ts";

const never = new AbortController().signal;

/** Reads everything: the events, then the result. */
async function drain<E, R>(stream: AsyncGenerator<E, R, void>) {
  const events: E[] = [];
  for (;;) {
    const next = await stream.next();
    if (next.done) return { events, result: next.value };
    events.push(next.value);
  }
}

describe("an event stream", () => {
  test("yields what was emitted, in order, then returns the result", async () => {
    const stream = eventStream<number, string>(never, async (emit) => {
      emit(1);
      emit(2);
      await Promise.resolve();
      emit(3);
      return "end";
    });
    expect(await drain(stream)).toEqual({ events: [1, 2, 3], result: "end" });
  });

  test("yields an event before the work goes on to its end", async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const stream = eventStream<string, void>(never, async (emit) => {
      emit("first");
      await gate;
      emit("second");
    });
    expect(await stream.next()).toEqual({ done: false, value: "first" });
    release();
    expect(await drain(stream)).toEqual({ events: ["second"], result: undefined });
  });

  test("throws what the work rejects with, after the events that came before", async () => {
    const stream = eventStream<number, void>(never, async (emit) => {
      emit(1);
      throw new Error("broke");
    });
    expect((await stream.next()).value).toBe(1);
    await expect(stream.next()).rejects.toThrow("broke");
  });

  test("tells the work when its reader leaves, and waits until it has let go", async () => {
    const order: string[] = [];
    const stream = eventStream<number, void>(never, async (emit, signal) => {
      emit(1);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      order.push("aborted");
      await Promise.resolve();
      order.push("released");
      throw signal.reason;
    });
    for await (const _ of stream) break;
    expect(order).toEqual(["aborted", "released"]);
  });

  test("passes the caller's abort on with its reason", async () => {
    const controller = new AbortController();
    const stream = eventStream<number, void>(controller.signal, async (emit, signal) => {
      emit(1);
      await new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    });
    await stream.next();
    controller.abort(new Error("client left"));
    await expect(stream.next()).rejects.toThrow("client left");
  });

  test("takes 100,000 events that nobody waited for", async () => {
    const stream = eventStream<number, void>(never, async (emit) => {
      for (let i = 0; i < 100_000; i++) emit(i);
    });
    const { events } = await drain(stream);
    expect(events).toHaveLength(100_000);
    expect(events[99_999]).toBe(99_999);
  });
});

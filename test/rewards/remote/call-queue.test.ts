/** How items share calls, and what one item's fate means to the others. */
import { expect, test } from "vitest";
import { type CallQueueParts, createCallQueue } from "../../../src/rewards/remote/call-queue.ts";

const never = new AbortController().signal;

interface Call {
  readonly items: readonly string[];
  readonly signal: AbortSignal;
  readonly answer: (results: readonly (string | Error)[]) => void;
  readonly fail: (error: Error) => void;
}

/** A queue whose calls a test answers. */
function queued(given: Partial<CallQueueParts<string, string>> = {}) {
  const calls: Call[] = [];
  const queue = createCallQueue<string, string>({
    concurrentMax: 2,
    batchMax: 3,
    waitingMax: 8,
    keyOf: () => "",
    call: (items, signal) =>
      new Promise((answer, fail) => {
        calls.push({ items, signal, answer, fail });
      }),
    full: () => new Error("full"),
    ...given,
  });
  return { queue, calls };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const upper = ({ items, answer }: Call) => answer(items.map((item) => item.toUpperCase()));

test("items asked in one turn share calls, as many as may run at once; the rest follows", async () => {
  const { queue, calls } = queued();
  const all = Promise.all(Array.from("abcdefgh").map((item) => queue.ask(item, never)));
  await turn();
  expect(calls.map(({ items }) => items.join(""))).toEqual(["abc", "def"]);
  upper(calls[0]!);
  await turn();
  expect(calls.map(({ items }) => items.join(""))).toEqual(["abc", "def", "gh"]);
  upper(calls[2]!);
  upper(calls[1]!);
  expect((await all).join("")).toBe("ABCDEFGH");
});

test("only items of one key share a call, in the order of the first of each", async () => {
  const { queue, calls } = queued({ keyOf: (item) => item[0]!, concurrentMax: 8 });
  const all = Promise.all(["a1", "b1", "a2", "c1", "b2"].map((item) => queue.ask(item, never)));
  await turn();
  expect(calls.map(({ items }) => items)).toEqual([["a1", "a2"], ["b1", "b2"], ["c1"]]);
  calls.forEach(upper);
  expect(await all).toEqual(["A1", "B1", "A2", "C1", "B2"]);
});

test("one item's error is its own, a call's error is everyone's", async () => {
  const { queue, calls } = queued({ batchMax: 2 });
  const all = Promise.allSettled(Array.from("abcd").map((item) => queue.ask(item, never)));
  await turn();
  calls[0]!.answer([new Error("no"), "B"]);
  calls[1]!.fail(new Error("down"));
  expect(
    (await all).map((each) => (each.status === "fulfilled" ? each.value : each.reason.message)),
  ).toEqual(["no", "B", "down", "down"]);
});

test("one more than may wait fails at once", async () => {
  const { queue, calls } = queued({ waitingMax: 2, batchMax: 2 });
  const kept = [queue.ask("a", never), queue.ask("b", never)];
  await expect(queue.ask("c", never)).rejects.toThrow("full");
  await turn();
  upper(calls[0]!);
  expect(await Promise.all(kept)).toEqual(["A", "B"]);
});

test("an item whose client leaves while it waits is never asked", async () => {
  const { queue, calls } = queued();
  const client = new AbortController();
  const gone = queue.ask("a", client.signal);
  const kept = queue.ask("b", never);
  client.abort("left");
  await expect(gone).rejects.toBe("left");
  await expect(queue.ask("c", client.signal)).rejects.toBe("left");
  await turn();
  expect(calls.map(({ items }) => items)).toEqual([["b"]]);
  upper(calls[0]!);
  expect(await kept).toBe("B");
});

test("a call goes on for those who stay, and is aborted when the last has left", async () => {
  const { queue, calls } = queued();
  const [one, other] = [new AbortController(), new AbortController()];
  // two items of one client: each counts
  const mine = Promise.allSettled(["a", "b"].map((item) => queue.ask(item, one.signal)));
  const others = queue.ask("c", other.signal);
  await turn();
  one.abort("left");
  expect(await mine).toEqual(Array(2).fill({ status: "rejected", reason: "left" }));
  expect(calls[0]!.signal.aborted).toBe(false);
  other.abort("left too");
  await expect(others).rejects.toBe("left too");
  expect(calls[0]!.signal.aborted).toBe(true);
});

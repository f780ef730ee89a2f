import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { createOutbox } from "../../src/http/socket/outbox.ts";
import { until } from "../support/http-server.ts";

const bufferBytesMax = 1_000;

/** An outbox, and the messages that its reader has read. */
async function openOutbox() {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const reader = new WebSocket(`ws://127.0.0.1:${port}`);
  const [writer] = (await once(server, "connection")) as [WebSocket];
  await once(reader, "open");
  onTestFinished(() => {
    reader.terminate();
    server.close();
  });
  const read: { type: string; index?: number; delta?: string }[] = [];
  reader.on("message", (data: Buffer) => read.push(JSON.parse(data.toString())));
  return { outbox: createOutbox(writer, bufferBytesMax), reader, writer, read };
}

const progress = (index: number, delta: string) =>
  ({ type: "alignment.candidate.delta", id: "a", index, delta }) as const;
const final = (delta: string) =>
  ({ type: "response.output_text.delta", id: "a", choice: 0, delta }) as const;

/** Fills the connection until messages wait; returns the promise of the last. */
async function fill(outbox: Awaited<ReturnType<typeof openOutbox>>["outbox"], writer: WebSocket) {
  let written: Promise<void>;
  do {
    written = outbox.send(final("x".repeat(2 ** 20)));
    await new Promise((resolve) => setImmediate(resolve));
  } while (writer.bufferedAmount < bufferBytesMax);
  return written;
}

test("a quick reader gets every message at once", async () => {
  const { outbox, read } = await openOutbox();
  await outbox.send(final("one"));
  outbox.progress(progress(0, "a"));
  outbox.progress(progress(0, "b"));
  await until(() => read.length === 3);
  expect(read.map(({ delta }) => delta)).toEqual(["one", "a", "b"]);
});

test("a slow reader gets progress joined, what is out of date not at all, final text always", async () => {
  const { outbox, reader, writer, read } = await openOutbox();
  reader.pause();
  const written = fill(outbox, writer);
  await until(() => writer.bufferedAmount >= bufferBytesMax);
  for (const letter of ["a", "b", "c"]) {
    outbox.progress(progress(0, letter));
    outbox.progress(progress(1, letter));
  }
  outbox.forget("a", 1); // candidate 1 has been scored
  const last = outbox.send(final("last"));
  reader.resume();
  await written;
  await last;
  outbox.progress(progress(0, "d"));
  outbox.progress(progress(1, "e"));
  await until(() => read.at(-1)?.delta === "e");
  expect(read.filter(({ type }) => type === "alignment.candidate.delta")).toMatchObject([
    { index: 0, delta: "abcd" },
    { index: 1, delta: "e" },
  ]);
  expect(read.some(({ delta }) => delta === "last")).toBe(true);
});

test("whoever waits for a reader that goes away is let go", async () => {
  const { outbox, reader, writer } = await openOutbox();
  reader.pause();
  const written = fill(outbox, writer);
  await until(() => writer.bufferedAmount >= bufferBytesMax);
  writer.terminate();
  await written;
  await outbox.send(final("into the void"));
});

import { once } from "node:events";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { type ClientOptions, WebSocket } from "ws";
import type { ServerMessage } from "../../src/http/socket/protocol.ts";
import { createGate, startServer, until, untilStill } from "../support/http-server.ts";

const request = { model: "tiny-chat", messages: [{ role: "user", content: "Hello?" }] };
const search = { ...request, alignment: { strategy: "best-of-n", n: 3 } };

async function openSocket(url: string, options: ClientOptions = {}) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/v1/stream`, options);
  onTestFinished(() => socket.terminate());
  const received: ServerMessage[] = [];
  socket.on("message", (data: Buffer) =>
    received.push(JSON.parse(data.toString()) as ServerMessage),
  );
  await once(socket, "open");
  let read = 0;
  return {
    socket,
    received,
    send: (message: unknown) => socket.send(JSON.stringify(message)),
    /** The messages since the last call, up to the first of this type. */
    upTo: async (type: ServerMessage["type"]) => {
      await until(() => received.slice(read).some((message) => message.type === type));
      const end = received.findIndex((message, i) => i >= read && message.type === type) + 1;
      const messages = received.slice(read, end);
      read = end;
      return messages;
    },
  };
}

const shared = await startServer({}, afterAll);

test("streams final text, then the whole answer with its usage", async () => {
  const { send, upTo } = await openSocket(shared.url);
  send({ type: "response.create", id: "a", request });
  const messages = await upTo("response.completed");
  const delta = { type: "response.output_text.delta", id: "a", choice: 0 };
  expect(messages).toMatchObject([
    { type: "response.created", id: "a", model: "tiny-chat" },
    { ...delta, delta: "Hello " },
    { ...delta, delta: "there, " },
    { ...delta, delta: "friend." },
    {
      type: "response.completed",
      id: "a",
      choices: [{ index: 0, message: { content: "Hello there, friend." }, finish_reason: "stop" }],
      usage: { prompt_tokens: 13, completion_tokens: 21, total_tokens: 34 },
      alignment: null,
    },
  ]);
});

test("shows a search's candidates and scores, and calls only the winner final", async () => {
  const { send, upTo } = await openSocket(shared.url);
  send({ type: "response.create", id: "s", request: search });
  const messages = await upTo("response.completed");
  const of = (type: string) => messages.filter((message) => message.type === type);
  const scored = { type: "alignment.candidate.scored", id: "s", finish_reason: "stop" };
  expect(of("alignment.candidate.scored")).toEqual([
    { ...scored, index: 0, reward: 20, text: "Hello there, friend.", tokens: 21 },
    { ...scored, index: 1, reward: 3, text: "Hi.", tokens: 4 },
    { ...scored, index: 2, reward: 16, text: "Good day to you.", tokens: 17 },
  ]);
  expect(of("alignment.candidate.delta")).toHaveLength(3);
  expect(of("response.output_text.delta")).toEqual([
    { type: "response.output_text.delta", id: "s", choice: 0, delta: "Hello there, friend." },
  ]);
  expect(messages.slice(-3).map(({ type }) => type)).toEqual([
    "alignment.candidate.committed",
    "response.output_text.delta",
    "response.completed",
  ]);
  expect(of("alignment.candidate.committed")).toEqual([
    { type: "alignment.candidate.committed", id: "s", index: 0, choice: 0 },
  ]);
  expect(messages.at(-1)).toMatchObject({ alignment: { strategy: "best-of-n", chosen: 0, n: 3 } });
});

test("tells nothing of candidates to who wants none of it, but the report", async () => {
  const { send, upTo } = await openSocket(shared.url);
  const quiet = { ...search, alignment: { ...search.alignment, events: false } };
  send({ type: "response.create", id: "q", request: quiet });
  const messages = await upTo("response.completed");
  expect(messages.map(({ type }) => type)).toEqual([
    "response.created",
    "response.output_text.delta",
    "response.completed",
  ]);
  expect(messages.at(-1)).toMatchObject({ alignment: { n: 3 } });
});

test("a request with `prompt` is a text completion", async () => {
  const { send, upTo } = await openSocket(shared.url);
  const completion = { model: "tiny-chat", prompt: "ab", echo: true, max_tokens: 3 };
  send({ type: "response.create", id: "c", request: completion });
  const messages = await upTo("response.completed");
  expect(messages.at(-1)).toMatchObject({ choices: [{ text: "abHel", finish_reason: "length" }] });
  const deltas = messages.map((message) =>
    message.type === "response.output_text.delta" ? message.delta : "",
  );
  expect(deltas.join("").startsWith("ab")).toBe(true);
});

test("answers run side by side, and one that is cancelled frees its place at once", async () => {
  const gate = createGate();
  const { url, gateway } = await startServer({
    step: ({ user }) => (user === "slow" ? gate.step() : Promise.resolve()),
  });
  const { send, upTo } = await openSocket(url);
  send({ type: "response.create", id: "slow", request: { ...request, user: "slow" } });
  await upTo("response.created");
  send({ type: "response.create", id: "fast", request });
  expect((await upTo("response.completed")).at(-1)).toMatchObject({ id: "fast" });

  send({ type: "response.create", id: "slow", request });
  expect(await upTo("error")).toMatchObject([
    { id: "slow", error: { param: "id", code: "invalid_request" } },
  ]);

  send({ type: "response.cancel", id: "slow" });
  expect(await upTo("error")).toMatchObject([{ id: "slow", error: { code: "cancelled" } }]);
  expect(gateway.aborted).toEqual([gateway.seen[0]!.id]);

  send({ type: "response.cancel", id: "slow" });
  expect(await upTo("error")).toMatchObject([{ id: "slow", error: { param: "id" } }]);
  send({ type: "response.create", id: "slow", request });
  expect((await upTo("response.completed")).at(-1)).toMatchObject({ id: "slow" });
});

test("refuses more answers at once than the limit", async () => {
  const { url } = await startServer({ step: createGate().step, flags: { socketAnswersMax: "1" } });
  const { send, upTo } = await openSocket(url);
  send({ type: "response.create", id: "a", request });
  send({ type: "response.create", id: "b", request });
  expect((await upTo("error")).at(-1)).toMatchObject({
    id: "b",
    error: { code: "socket_full", type: "rate_limit_error" },
  });
});

test("closing the socket ends every answer on it", async () => {
  const { url, gateway } = await startServer({ step: createGate().step });
  const { socket, send } = await openSocket(url);
  for (const id of ["a", "b", "c"]) send({ type: "response.create", id, request });
  await until(() => gateway.seen.length === 3);
  socket.terminate();
  await until(() => gateway.aborted.length === 3);
});

test.each([
  ["{", undefined, { code: "invalid_json" }],
  [Buffer.from([1, 2]), undefined, { code: "invalid_json" }],
  ["[]", undefined, { param: "type" }],
  ["null", undefined, { param: "type" }],
  ['{"type":"response.delete","id":"x"}', "x", { param: "type" }],
  ['{"type":"response.create","id":5,"request":{}}', undefined, { param: "id" }],
  ['{"type":"response.create","id":"x"}', "x", { param: "request" }],
  ['{"type":"response.create","id":"x","request":{}}', "x", { param: "request.messages" }],
  [
    '{"type":"response.create","id":"x","request":{"model":"tiny-chat","prompt":"a","temperature":3}}',
    "x",
    { param: "request.temperature" },
  ],
  [
    '{"type":"response.create","id":"x","request":{"model":"no","prompt":"a"}}',
    "x",
    { code: "model_not_found" },
  ],
  [
    '{"type":"response.create","id":"x","request":{"model":"tiny-chat","prompt":"a","stream":false}}',
    "x",
    { param: "request.stream" },
  ],
])("answers the frame %s with an error and stays open", async (frame, id, error) => {
  const { socket, send, upTo } = await openSocket(shared.url);
  socket.send(frame);
  const [message] = await upTo("error");
  expect(message).toMatchObject({ type: "error", error });
  expect((message as { id?: string }).id).toBe(id);
  send({ type: "response.create", id: "after", request });
  await upTo("response.completed");
});

test("an error of the answer carries its id", async () => {
  const { url } = await startServer({ breakage: new Error("inside") });
  const { send, upTo } = await openSocket(url);
  send({ type: "response.create", id: "a", request });
  const message = (await upTo("error")).at(-1);
  expect(message).toMatchObject({
    id: "a",
    error: { code: "internal_error", type: "server_error" },
  });
  expect(JSON.stringify(message)).not.toContain("inside");
});

const megabyteWord = `${"x".repeat(2 ** 20)} `;

test("waits for a slow reader and loses no final text", async () => {
  const words = 48; // far more than a loopback connection and our own bound hold
  let pulled = 0;
  const { url } = await startServer({
    texts: [megabyteWord.repeat(words)],
    step: async () => void pulled++,
  });
  const { socket, send, upTo } = await openSocket(url);
  send({ type: "response.create", id: "a", request });
  await upTo("response.created");
  socket.pause();
  await untilStill(() => pulled);
  expect(pulled).toBeLessThan(words);
  socket.resume();
  const messages = await upTo("response.completed");
  const text = messages.reduce(
    (length, message) =>
      length + (message.type === "response.output_text.delta" ? message.delta.length : 0),
    0,
  );
  expect(text).toBe(words * megabyteWord.length);
});

test("closes a reader that takes nothing with 1013, and frees its answers", async () => {
  const { url, gateway } = await startServer({
    texts: [megabyteWord.repeat(48)],
    flags: { stallMsMax: "40", keepAliveMs: "20" },
  });
  const { socket, send, upTo } = await openSocket(url);
  send({ type: "response.create", id: "a", request });
  await upTo("response.created");
  socket.pause();
  await until(() => gateway.aborted.length === 1);
  socket.resume();
  const [code] = (await once(socket, "close")) as [number];
  expect(code).toBe(1013);
});

test("counts the answers on a socket, not the socket", async () => {
  const { url } = await startServer();
  const { socket, send, upTo } = await openSocket(url);
  send({ type: "response.create", id: "a", request });
  await upTo("response.completed");
  send({ type: "response.create", id: "b", request: { ...request, n: 0 } });
  await upTo("error");
  const counts = async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return text.match(
      /plumbline_requests_total\{route="\/v1\/stream".*|plumbline_errors_total\{.*|plumbline_open_streams.*\d/g,
    );
  };
  expect(await counts()).toContain('plumbline_open_streams{transport="websocket"} 1');
  socket.close();
  await once(socket, "close");
  expect(await counts()).toEqual([
    'plumbline_requests_total{route="/v1/stream",status="200",strategy="sample"} 1',
    'plumbline_requests_total{route="/v1/stream",status="400",strategy="none"} 1',
    'plumbline_errors_total{code="invalid_request"} 1',
    'plumbline_open_streams{transport="websocket"} 0',
  ]);
});

test("a cancel does not wait for a slow reader", async () => {
  let pulled = 0;
  const { url, gateway } = await startServer({
    texts: [megabyteWord.repeat(48)],
    step: async () => void pulled++,
  });
  const { socket, send, upTo } = await openSocket(url);
  send({ type: "response.create", id: "a", request });
  await upTo("response.created");
  socket.pause();
  await untilStill(() => pulled);
  send({ type: "response.cancel", id: "a" });
  await until(() => gateway.aborted.length === 1);
  socket.resume();
  expect((await upTo("error")).at(-1)).toMatchObject({ id: "a", error: { code: "cancelled" } });
});

test("pings a quiet socket, which keeps it open", async () => {
  const { url } = await startServer({ flags: { stallMsMax: "20000", keepAliveMs: "5" } });
  const { socket } = await openSocket(url);
  for (let ping = 0; ping < 10; ping++) await once(socket, "ping");
  expect(socket.readyState).toBe(WebSocket.OPEN);
});

test("closes a socket that answers no ping", async () => {
  const { url } = await startServer({ flags: { stallMsMax: "20", keepAliveMs: "5" } });
  const { socket } = await openSocket(url, { autoPong: false });
  expect((await once(socket, "close"))[0]).toBe(1013);
});

test("a closing server lets the answers finish, then closes the sockets", async () => {
  const gate = createGate();
  const { app, url } = await startServer({ step: gate.step });
  const { socket, send, upTo } = await openSocket(url);
  send({ type: "response.create", id: "a", request });
  await upTo("response.created");
  const closed = app.close();
  send({ type: "response.create", id: "b", request });
  expect(await upTo("error")).toMatchObject([{ id: "b", error: { code: "shutting_down" } }]);
  gate.open();
  expect((await upTo("response.completed")).at(-1)).toMatchObject({ id: "a" });
  expect((await once(socket, "close"))[0]).toBe(1001);
  await closed;
});

test("needs a key, and a page of its own origin", async () => {
  const { url } = await startServer({ flags: { apiKeys: "key-1" } });
  const authorization = "Bearer key-1";
  await expect(openSocket(url)).rejects.toThrow("401");
  await expect(
    openSocket(url, { headers: { authorization }, origin: "https://evil.example" }),
  ).rejects.toThrow("403");
  await openSocket(url, { headers: { authorization }, origin: url });
});

import { connect } from "node:net";
import { expect, test } from "vitest";
import { createGate, startServer, until, untilStill } from "../support/http-server.ts";

const chat = "/v1/chat/completions";
const ask = {
  model: "tiny-chat",
  messages: [{ role: "user", content: "Hello?" }],
  stream: true,
};

/** A client that sends the request and reads nothing until told to. */
function sendWithoutReading(url: string) {
  const body = JSON.stringify(ask);
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(
    `POST ${chat} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

const megabyteWord = `${"x".repeat(2 ** 20)} `;

test("asks for nothing more while the client does not read, and loses nothing", async () => {
  const words = 48; // far more than both ends of a loopback connection buffer
  let pulled = 0;
  const { url } = await startServer({
    texts: [megabyteWord.repeat(words)],
    step: async () => void pulled++,
  });
  const socket = sendWithoutReading(url);
  await until(() => pulled > 0);
  await untilStill(() => pulled);
  expect(pulled).toBeLessThan(words);
  let received = 0;
  for await (const chunk of socket) received += (chunk as Buffer).length;
  expect(received).toBeGreaterThan(words * 2 ** 20);
  expect(pulled).toBe(words + 1);
});

test("a client that never reads is cut off and frees its answer", async () => {
  const { url, gateway } = await startServer({
    texts: [megabyteWord.repeat(48)],
    flags: { stallMsMax: "40", keepAliveMs: "20" },
  });
  const socket = sendWithoutReading(url);
  socket.on("error", () => {}); // the reset is the point
  await until(() => gateway.aborted.length === 1);
  socket.destroy();
});

test("fills silence with comments, and sends the status with the first", async () => {
  const gate = createGate();
  const { post } = await startServer({ step: gate.step, flags: { keepAliveMs: "5" } });
  const reply = await post(chat, ask);
  const reader = reply.body!.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader.read();
  expect(first.value).toMatch(/^(: keep-alive\n\n)+$/);
  gate.open();
  let rest = "";
  for (let step = await reader.read(); !step.done; step = await reader.read()) rest += step.value;
  expect(rest).toContain('"content":"Hello "');
  expect(rest.endsWith("data: [DONE]\n\n")).toBe(true);
});

test("an error after the first comment is an event, since the status is out", async () => {
  const gate = createGate();
  const { post } = await startServer({
    step: async () => {
      await gate.step();
      throw new Error("broken");
    },
    flags: { keepAliveMs: "5" },
  });
  const reply = await post(chat, ask);
  expect(reply.status).toBe(200);
  gate.open();
  const frames = (await reply.text()).trimEnd().split("\n\n");
  expect(frames.at(-1)).toContain('"code":"internal_error"');
});

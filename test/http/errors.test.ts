import { connect } from "node:net";
import OpenAI from "openai";
import { afterAll, expect, test } from "vitest";
import { GatewayError } from "../../src/base/errors.ts";
import { collect, errorOf, startServer } from "../support/http-server.ts";

const ask = { model: "tiny-chat", messages: [{ role: "user" as const, content: "Hello?" }] };
const chat = "/v1/chat/completions";
const shared = await startServer({ flags: { bodyBytesMax: "1024" } }, afterAll);

test.each<[string, object, string | null, string]>([
  ["a missing field", { messages: undefined }, "messages", "is required"],
  ["an unknown field", { temprature: 1 }, "temprature", "did you mean 'temperature'?"],
  ["a number as text", { n: "2" }, "n", "must be of type integer or null"],
  ["a number too large", { temperature: 2.5 }, "temperature", "must be at most 2"],
  ["too many stops", { stop: ["a", "b", "c", "d", "e"] }, "stop", "more than 4"],
  ["an empty stop", { stop: "" }, "stop", "fewer than 1"],
  [
    "a part that is no text",
    { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] },
    "messages.0.content.0.type",
    '"text"',
  ],
  [
    "an unknown role",
    { messages: [{ role: "tool", content: "x" }] },
    "messages.0.role",
    "tools cannot be called",
  ],
  ["no messages", { messages: [] }, "messages", "fewer than 1"],
  ["tools", { tools: [{ type: "function" }] }, "tools", "tools cannot be called"],
  [
    "a JSON answer",
    { response_format: { type: "json_object" } },
    "response_format.type",
    "JSON cannot be enforced",
  ],
  ["a token outside the vocabulary", { logit_bias: { "257": 1 } }, "logit_bias.257", "0 to 256"],
  ["a bias on a word", { logit_bias: { the: 1 } }, "logit_bias.the", "0 to 256"],
  ["a bias too strong", { logit_bias: { "1": 101 } }, "logit_bias.1", "at most 100"],
  ["both length limits", { max_tokens: 1, max_completion_tokens: 1 }, "max_tokens", "together"],
  [
    "alternatives without log-probabilities",
    { top_logprobs: 2 },
    "top_logprobs",
    "'logprobs' is true",
  ],
  [
    "stream options without a stream",
    { stream_options: { include_usage: true } },
    "stream_options",
    "'stream' is true",
  ],
  ["too many choices", { n: 129 }, "n", "128"],
  ["an alignment without a strategy", { alignment: { n: 4 } }, "alignment.strategy", "is required"],
  [
    "an unknown strategy",
    { alignment: { strategy: "best-of" } },
    "alignment.strategy",
    "best-of-n",
  ],
  [
    "an unknown strategy option",
    { alignment: { strategy: "best-of-n", m: 4 } },
    "alignment.m",
    "not known",
  ],
  [
    "a preset's option without its strategy",
    { model: "tiny-chat/best-of-3", alignment: { n: 4 } },
    "alignment.strategy",
    "is required",
  ],
])("refuses %s, naming the field", async (_, fields, param, message) => {
  const reply = await shared.post(chat, { ...ask, ...fields });
  const error = await errorOf(reply);
  expect(error).toMatchObject({ param, type: "invalid_request_error" });
  expect(error.message).toContain(message);
  expect(reply.status).toBe(400);
});

test("accepts OpenAI's fields at the values that change nothing", async () => {
  const echoed = {
    role: "assistant",
    content: "Hi.",
    refusal: null,
    annotations: [],
    tool_calls: null,
  };
  const reply = await shared.post(chat, {
    ...ask,
    messages: [...ask.messages, echoed, ...ask.messages],
    tools: [],
    tool_choice: "auto",
    parallel_tool_calls: false,
    service_tier: "auto",
    modalities: ["text"],
    reasoning_effort: null,
    response_format: { type: "text" },
    prompt_cache_key: "k",
    safety_identifier: "s",
  });
  expect([reply.status, await reply.json()]).toMatchObject([200, {}]);
});

test("an unknown model is 404 and lists the known ones", async () => {
  const answer = shared.client.chat.completions.create({ ...ask, model: "gpt-4o" });
  await expect(answer).rejects.toThrow(OpenAI.NotFoundError);
  await expect(answer).rejects.toMatchObject({
    status: 404,
    code: "model_not_found",
    param: "model",
    message: expect.stringContaining("tiny-chat"),
  });
});

test("a full queue is 429 with the time to wait, also for a stream", async () => {
  const refusal = new GatewayError("queue_full", { waiting: 9, limit: 8, retryAfterSeconds: 3 });
  const { client } = await startServer({ refusal });
  for (const stream of [false, true]) {
    const error = await client.chat.completions.create({ ...ask, stream }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect((error as InstanceType<typeof OpenAI.RateLimitError>).headers.get("retry-after")).toBe(
      "3",
    );
    expect(error).toMatchObject({ type: "rate_limit_error", code: "queue_full" });
  }
});

test("an error in mid-stream is the stream's last event, in OpenAI's shape", async () => {
  const breakage = new GatewayError("engine_failed", { problem: "device lost" });
  const { client, post } = await startServer({ breakage });
  const stream = await client.chat.completions.create({ ...ask, stream: true });
  await expect(collect(stream)).rejects.toThrow("device lost");
  const text = await (await post(chat, { ...ask, stream: true })).text();
  const last = text.trimEnd().split("\n\n").at(-1)!;
  expect(JSON.parse(last.slice("data: ".length)).error).toMatchObject({
    type: "server_error",
    code: "engine_failed",
  });
  expect(text).not.toContain("[DONE]");
});

test("a bug of ours shows the request's id and nothing of the inside", async () => {
  const { post } = await startServer({ breakage: new TypeError("secret is undefined") });
  const reply = await post(chat, ask);
  const body = await reply.text();
  expect(reply.status).toBe(500);
  expect(JSON.parse(body).error).toMatchObject({
    type: "server_error",
    code: "internal_error",
    param: null,
  });
  expect(body).toContain(reply.headers.get("x-request-id"));
  expect(body).not.toContain("secret");
});

test.each<[string, RequestInit, number, string]>([
  ["broken JSON", { body: "{" }, 400, "invalid_json"],
  ["an empty body", { body: "" }, 400, "invalid_json"],
  ["a poisoned key", { body: '{"__proto__": {"x": 1}}' }, 400, "invalid_json"],
  ["a list", { body: "[]" }, 400, "invalid_request"],
  ["null", { body: "null" }, 400, "invalid_request"],
  [
    "another content type",
    { body: "hi", headers: { "content-type": "text/plain" } },
    415,
    "unsupported_media_type",
  ],
  ["a large body", { body: JSON.stringify("x".repeat(2_000)) }, 413, "body_too_large"],
])("refuses %s", async (_, init, status, code) => {
  const reply = await fetch(shared.url + chat, {
    method: "POST",
    headers: { "content-type": "application/json" },
    ...init,
  });
  expect([reply.status, await errorOf(reply)]).toMatchObject([
    status,
    { code, message: expect.any(String) },
  ]);
});

test.each([
  ["GET", "/v1/nothing", 404, "route_not_found"],
  ["DELETE", chat, 404, "route_not_found"],
  ["GET", "/v1/models/%zz", 400, "invalid_request"],
  ["GET", "/v1/stream", 426, "upgrade_required"],
])("%s %s has the same shape", async (method, path, status, code) => {
  const reply = await fetch(shared.url + path, { method });
  expect([reply.status, (await errorOf(reply)).code]).toEqual([status, code]);
});

test("bytes that are not HTTP get an answer too", async () => {
  const { hostname, port } = new URL(shared.url);
  const socket = connect(Number(port), hostname, () => socket.write("nonsense\r\n\r\n"));
  const [head, body] = (await collect(socket)).join("").split("\r\n\r\n");
  expect(head).toContain("400 Bad Request");
  expect(JSON.parse(body!).error).toMatchObject({ type: "invalid_request_error" });
});

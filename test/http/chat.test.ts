import OpenAI from "openai";
import { expect, test } from "vitest";
import { collect, createGate, startServer, until } from "../support/http-server.ts";

const ask = {
  model: "tiny-chat",
  messages: [{ role: "user" as const, content: "Hello?" }],
};
const prompt = "user: Hello?\n"; // 13 bytes, one token each

test("answers the official client in OpenAI's shape", async () => {
  const { client } = await startServer();
  const answer = await client.chat.completions.create(ask);
  expect(answer).toMatchObject({
    object: "chat.completion",
    model: "tiny-chat",
    system_fingerprint: "canned-1",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: "Hello there, friend.", refusal: null },
        logprobs: null,
        finish_reason: "stop",
      },
    ],
    usage: {
      prompt_tokens: 13,
      completion_tokens: 21,
      total_tokens: 34,
      prompt_tokens_details: { cached_tokens: 0 },
    },
  });
  expect(answer.id).toMatch(/^chatcmpl-[0-9a-f]{32}$/);
  expect(Math.abs(answer.created - Date.now() / 1_000)).toBeLessThan(60);
  expect(answer).not.toHaveProperty("alignment");
  expect(prompt).toHaveLength(13);
});

test("hands every sampling field to the gateway under our names", async () => {
  const { client, gateway } = await startServer();
  const ours = { top_k: 40, min_p: 0.05 }; // the official types lack them
  await client.chat.completions.create({
    ...ask,
    messages: [
      { role: "developer", content: "Be brief." },
      {
        role: "user",
        content: [
          { type: "text", text: "Hel" },
          { type: "text", text: "lo?" },
        ],
        name: "Ann",
      },
    ],
    n: 2,
    temperature: 0.5,
    top_p: 0.9,
    frequency_penalty: 1,
    presence_penalty: -1,
    logit_bias: { "65": -100, "66": 5 },
    seed: 42,
    stop: "END",
    max_completion_tokens: 9,
    logprobs: true,
    top_logprobs: 3,
    user: "u-1",
    metadata: { tag: "x" },
    store: false,
    ...ours,
  });
  expect(gateway.seen[0]).toMatchObject({
    route: "/v1/chat/completions",
    model: "tiny-chat",
    conversation: {
      kind: "chat",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Hello?", name: "Ann" },
      ],
    },
    sampling: {
      maxTokens: 9,
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.05,
      frequencyPenalty: 1,
      presencePenalty: -1,
      logitBias: new Map([
        [65, -100],
        [66, 5],
      ]),
      seed: 42,
      stop: ["END"],
      topLogprobs: 3,
    },
    choices: 2,
    alignment: null,
    store: false,
    user: "u-1",
    metadata: { tag: "x" },
  });
});

test("leaves what was not given to the gateway's defaults", async () => {
  const { post, gateway } = await startServer();
  const reply = await post("/v1/chat/completions", {
    ...ask,
    temperature: null,
    stop: null,
    n: null,
    tools: [],
  });
  expect(reply.status).toBe(200);
  expect(gateway.seen[0]).toMatchObject({
    sampling: { maxTokens: null },
    choices: 1,
    store: true,
    user: null,
    metadata: null,
  });
  expect(Object.keys(gateway.seen[0]!.sampling)).toEqual(["maxTokens"]);
});

test("returns n choices and ends one that is too long with `length`", async () => {
  const { client } = await startServer();
  const { choices, usage } = await client.chat.completions.create({ ...ask, n: 3, max_tokens: 5 });
  expect(
    choices.map(({ index, message, finish_reason }) => [index, message.content, finish_reason]),
  ).toEqual([
    [0, "Hello", "length"],
    [1, "Hi.", "stop"],
    [2, "Good ", "length"],
  ]);
  expect(usage).toMatchObject({
    prompt_tokens: 13,
    completion_tokens: 5 + 4 + 5,
    total_tokens: 27,
  });
});

test("gives each token's log-probability with its bytes, also of half a character", async () => {
  const { client } = await startServer({ texts: ["é!"] });
  const { choices } = await client.chat.completions.create({
    ...ask,
    logprobs: true,
    top_logprobs: 2,
  });
  const content = choices[0]!.logprobs!.content!;
  expect(content.map(({ token, bytes }) => [token, bytes])).toEqual([
    ["\uFFFD", [0xc3]],
    ["\uFFFD", [0xa9]],
    ["!", [0x21]],
    ["<end>", []],
  ]);
  expect(content[2]!.logprob).toBe(-(0x21 % 7) / 8);
  expect(content[2]!.top_logprobs).toEqual([
    { token: "!", logprob: -1 / 8, bytes: [0x21] },
    { token: '"', logprob: -2 / 8, bytes: [0x22] },
  ]);
  expect(choices[0]!.logprobs!.refusal).toBeNull();
});

test("streams the text as it becomes final: role, content, finish, usage", async () => {
  const { client } = await startServer();
  const stream = await client.chat.completions.create({
    ...ask,
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = await collect(stream);
  const last = chunks.pop()!;
  expect(last.choices).toEqual([]);
  expect(last.usage).toMatchObject({ prompt_tokens: 13, completion_tokens: 21, total_tokens: 34 });
  expect(chunks.map(({ usage }) => usage)).toEqual(chunks.map(() => null));
  expect(chunks.map(({ choices }) => [choices[0]!.delta, choices[0]!.finish_reason])).toEqual([
    [{ role: "assistant", content: "" }, null],
    [{ content: "Hello " }, null],
    [{ content: "there, " }, null],
    [{ content: "friend." }, null],
    [{}, "stop"],
  ]);
  expect(new Set([last, ...chunks].map(({ id }) => id)).size).toBe(1);
});

test("streams n choices side by side, each complete under its own index", async () => {
  const { client } = await startServer();
  const stream = await client.chat.completions.create({
    ...ask,
    n: 3,
    stream: true,
    logprobs: true,
  });
  const texts = ["", "", ""];
  const tokens = [0, 0, 0];
  const finished: number[] = [];
  for await (const { choices } of stream) {
    const { index, delta, finish_reason, logprobs } = choices[0]!;
    texts[index] += delta.content ?? "";
    tokens[index]! += logprobs?.content?.length ?? 0;
    if (finish_reason) finished.push(index);
  }
  expect(texts).toEqual(["Hello there, friend.", "Hi.", "Good day to you."]);
  expect(tokens).toEqual([21, 4, 17]);
  expect(finished).toEqual([0, 1, 2]);
});

test("a search streams comments with its real progress, then only the winner", async () => {
  const { post } = await startServer();
  const reply = await post("/v1/chat/completions", {
    ...ask,
    stream: true,
    alignment: { strategy: "best-of-n", n: 3, candidates: false },
  });
  const frames = (await reply.text()).trimEnd().split("\n\n");
  expect(reply.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  expect(frames.slice(0, 3)).toEqual([
    ": searching 1/3 scored",
    ": searching 2/3 scored",
    ": searching 3/3 scored",
  ]);
  expect(frames.at(-1)).toBe("data: [DONE]");
  const chunks = frames.slice(3, -1).map((frame) => JSON.parse(frame.slice("data: ".length)));
  expect(chunks.map(({ choices }) => choices[0].delta)).toEqual([
    { role: "assistant", content: "" },
    { content: "Hello there, friend." },
    {},
  ]);
  expect(chunks.map(({ alignment }) => alignment?.strategy)).toEqual([
    undefined,
    undefined,
    "best-of-n",
  ]);
  expect(chunks.at(-1).alignment).not.toHaveProperty("candidates");
});

test("reports the search with every candidate and its raw reward", async () => {
  const { client, gateway } = await startServer();
  const params = {
    ...ask,
    seed: 5,
    alignment: { strategy: "best-of-n", n: 2, reward: "tiny-reward" },
  };
  const answer = await client.chat.completions.create(params);
  expect(gateway.seen[0]!.alignment).toEqual({
    strategy: "best-of-n",
    reward: "tiny-reward",
    options: { n: 2 },
  });
  expect(answer.choices[0]!.message.content).toBe("Hello there, friend.");
  expect(answer.usage!.completion_tokens).toBe(21);
  const logprob = (text: string) =>
    [...Buffer.from(text), 256].reduce((sum, id) => sum - (id % 7) / 8, 0);
  expect(answer).toMatchObject({
    alignment: {
      strategy: "best-of-n",
      n: 2,
      chosen: 0,
      reward: 20,
      candidates: [
        {
          index: 0,
          text: "Hello there, friend.",
          reward: 20,
          tokens: 21,
          logprob: logprob("Hello there, friend."),
          finish_reason: "stop",
        },
        {
          index: 1,
          text: "Hi.",
          reward: 3,
          tokens: 4,
          logprob: logprob("Hi."),
          finish_reason: "stop",
        },
      ],
      kl: { bound: Math.LN2 - 1 / 2, estimate: null },
      cost: { tokens: 25, reward_calls: 2, reward_tokens: 0, ms: 1 },
      revision: { policy: "canned-1", reward: "canned-1" },
      seed: 5,
    },
  });
});

test("a preset searches for clients that can send no extra field", async () => {
  const { client, gateway } = await startServer();
  const answer = await client.chat.completions.create({ ...ask, model: "tiny-chat/best-of-3" });
  expect(gateway.seen[0]!.alignment).toBeNull();
  expect(answer).toMatchObject({
    model: "tiny-chat/best-of-3",
    alignment: { strategy: "best-of-n", n: 3 },
  });
});

test("a client that leaves aborts its answer at once", async () => {
  const gate = createGate();
  const { client, gateway } = await startServer({ step: gate.step });
  const controller = new AbortController();
  const answer = client.chat.completions.create(ask, { signal: controller.signal });
  await until(() => gateway.seen.length === 1);
  controller.abort();
  await expect(answer).rejects.toThrow(OpenAI.APIUserAbortError);
  await until(() => gateway.aborted.length === 1);
  expect(gateway.aborted).toEqual([gateway.seen[0]!.id]);
});

test("a client that leaves a stream aborts its answer at once", async () => {
  let steps = 0;
  const { client, gateway } = await startServer({
    step: () => (++steps > 2 ? new Promise(() => {}) : Promise.resolve()),
  });
  const stream = await client.chat.completions.create({ ...ask, stream: true });
  for await (const { choices } of stream) {
    if (choices[0]!.delta.content === "there, ") break; // the client closes the connection
  }
  await until(() => gateway.aborted.length === 1);
});

test("an answer that was complete is not aborted afterwards", async () => {
  const { client, gateway, app } = await startServer();
  await client.chat.completions.create(ask);
  await collect(await client.chat.completions.create({ ...ask, stream: true }));
  await app.close();
  expect(gateway.seen).toHaveLength(2);
  expect(gateway.aborted).toEqual([]);
});

import { afterAll, expect, test } from "vitest";
import { collect, errorOf, startServer } from "../support/http-server.ts";

const model = "tiny-chat";
const shared = await startServer({}, afterAll);

test("continues one text, 16 tokens unless told otherwise, as OpenAI does", async () => {
  const { client, gateway } = await startServer();
  const answer = await client.completions.create({ model, prompt: "Once" });
  expect(answer).toMatchObject({
    object: "text_completion",
    model,
    choices: [{ index: 0, text: "Hello there, fri", logprobs: null, finish_reason: "length" }],
    usage: {
      prompt_tokens: 4,
      completion_tokens: 16,
      total_tokens: 20,
      prompt_tokens_details: { cached_tokens: 0 },
    },
  });
  expect(answer.id).toMatch(/^cmpl-/);
  expect(gateway.seen[0]!.conversation).toEqual({ kind: "text", text: "Once" });
});

test("answers several prompts at once, n choices each, numbered through", async () => {
  const { client, gateway } = await startServer({ texts: ["A", "B"] });
  const answer = await client.completions.create({ model, prompt: ["x", "yy", "zzz"], n: 2 });
  expect(answer.choices.map(({ index, text }) => [index, text])).toEqual([
    [0, "A"],
    [1, "B"],
    [2, "A"],
    [3, "B"],
    [4, "A"],
    [5, "B"],
  ]);
  expect(answer.usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 12, total_tokens: 18 });
  expect(new Set(gateway.seen.map(({ id }) => id)).size).toBe(3);
});

test("takes token ids, one list or several", async () => {
  const { client, gateway } = await startServer();
  await client.completions.create({ model, prompt: [72, 105] });
  await client.completions.create({ model, prompt: [[72], [105, 33]] });
  expect(gateway.seen.map(({ conversation }) => conversation)).toEqual([
    { kind: "tokens", tokens: [72, 105] },
    { kind: "tokens", tokens: [72] },
    { kind: "tokens", tokens: [105, 33] },
  ]);
});

test("echo repeats the prompt, also one given as tokens, also in a stream", async () => {
  const { client } = await startServer({ texts: ["!"] });
  const whole = await client.completions.create({ model, prompt: [0xc3, 0xa9], echo: true });
  expect(whole.choices[0]!.text).toBe("é!");
  expect(whole.usage!.completion_tokens).toBe(2);
  const stream = await client.completions.create({ model, prompt: "ab", echo: true, stream: true });
  const chunks = await collect(stream);
  expect(chunks.map(({ choices }) => choices[0]!.text)).toEqual(["ab", "!", ""]);
});

test("gives log-probabilities as parallel lists, with offsets into the text", async () => {
  const { client } = await startServer({ texts: ["a é"] });
  const whole = await client.completions.create({ model, prompt: "x", logprobs: 1 });
  const { tokens, token_logprobs, top_logprobs, text_offset } = whole.choices[0]!.logprobs!;
  expect(tokens).toEqual(["a", " ", "bytes:\\xc3", "bytes:\\xa9", "<end>"]);
  expect(token_logprobs).toEqual([0x61, 0x20, 0xc3, 0xa9, 256].map((id) => -(id % 7) / 8 + 0));
  expect(top_logprobs![0]).toEqual({ a: -1 / 8 });
  expect(text_offset!.slice(0, 3)).toEqual([0, 1, 2]);

  const stream = await client.completions.create({ model, prompt: "x", logprobs: 1, stream: true });
  const lists = (await collect(stream)).flatMap(({ choices }) => choices[0]!.logprobs ?? []);
  expect(lists.flatMap((list) => list.tokens)).toEqual(tokens);
  expect(lists.flatMap((list) => list.text_offset!).slice(0, 3)).toEqual([0, 1, 2]);
});

test("streams every prompt's choices and one usage for all", async () => {
  const { client } = await startServer({ texts: ["one two"] });
  const stream = await client.completions.create({
    model,
    prompt: ["x", "y"],
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = await collect(stream);
  const texts = ["", ""];
  for (const { choices } of chunks) if (choices[0]) texts[choices[0].index] += choices[0].text;
  expect(texts).toEqual(["one two", "one two"]);
  expect(chunks.at(-1)).toMatchObject({
    choices: [],
    usage: {
      prompt_tokens: 2,
      completion_tokens: 16,
      total_tokens: 18,
      prompt_tokens_details: { cached_tokens: 0 },
    },
  });
});

test("one failing prompt fails the request and ends the others", async () => {
  let steps = 0;
  const { post, gateway } = await startServer({
    step: async ({ conversation }) => {
      const isFirst = conversation.kind === "text" && conversation.text === "x";
      if (isFirst && ++steps === 2) throw new Error("boom");
      if (!isFirst) await new Promise(() => {});
    },
  });
  const reply = await post("/v1/completions", { model, prompt: ["x", "y"] });
  expect(reply.status).toBe(500);
  expect(gateway.aborted).toEqual([gateway.seen[1]!.id]);
});

test.each([
  [{ best_of: 4 }, "best_of", '"strategy": "best-of-n"'],
  [{ suffix: "the end" }, "suffix", "continued"],
  [{ echo: true, logprobs: 1 }, "echo", "logprobs"],
  [{ prompt: [5, 9_999] }, "prompt", "0 to 256"],
  [{ prompt: [] }, "prompt", "fewer than 1"],
  [{ prompt: ["a", "b"], alignment: { strategy: "best-of-n" } }, "prompt", "one prompt"],
  [{ prompt: ["a", "b"], model: "tiny-chat/best-of-3" }, "prompt", "one prompt"],
  [{ prompt: ["a", "b"], n: 65 }, "n", "128"],
])("refuses %o with a remedy", async (fields, param, remedy) => {
  const reply = await shared.post("/v1/completions", { model, prompt: "x", ...fields });
  const error = await errorOf(reply);
  expect([reply.status, error.param, error.type]).toEqual([400, param, "invalid_request_error"]);
  expect(error.message).toContain(remedy);
  expect(shared.gateway.seen).toEqual([]);
});

test("accepts what LangChain sends by default: best_of 1, suffix null", async () => {
  const reply = await shared.post("/v1/completions", {
    model,
    prompt: ["x"],
    best_of: 1,
    suffix: null,
    n: 1,
    stream: false,
  });
  expect(reply.status).toBe(200);
});

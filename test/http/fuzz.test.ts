import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { compileCheck } from "../../src/base/check.ts";
import { errorSchema } from "../../src/http/errors.ts";
import {
  chatChunkSchema,
  chatCompletionSchema,
  chatRequestSchema,
} from "../../src/http/openai/chat.ts";
import {
  completionChunkSchema,
  completionRequestSchema,
  completionSchema,
} from "../../src/http/openai/completion.ts";
import { rewardListSchema, rewardRequestSchema } from "../../src/http/routes/rewards.ts";
import { collect, startServer } from "../support/http-server.ts";

const { post, client } = await startServer({}, afterAll);
const checkError = compileCheck(errorSchema);
const messages = [{ role: "user" as const, content: "Hello?" }];

const routes = [
  {
    path: "/v1/chat/completions",
    valid: { model: "tiny-chat", messages },
    fields: Object.keys(chatRequestSchema.properties),
    checkBody: compileCheck(chatCompletionSchema),
  },
  {
    path: "/v1/completions",
    valid: { model: "tiny-chat", prompt: "Once" },
    fields: Object.keys(completionRequestSchema.properties),
    checkBody: compileCheck(completionSchema),
  },
  {
    path: "/v1/rewards",
    valid: { messages, completions: ["x"] },
    fields: Object.keys(rewardRequestSchema.properties),
    checkBody: compileCheck(rewardListSchema),
  },
];

/** Values that are nearly right more often than arbitrary JSON is. */
const likely = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, 1, 2, -1, 0.5, "", "x", [], {}, ["x"], [1]),
  fc.jsonValue({ maxDepth: 2 }),
  fc.record({
    strategy: fc.constantFrom("sample", "best-of-n", "x"),
    n: fc.integer({ min: -1, max: 5 }),
  }),
  fc.array(
    fc.record({
      role: fc.constantFrom("user", "system", "x"),
      content: fc.jsonValue({ maxDepth: 1 }),
    }),
  ),
);

for (const { path, valid, fields, checkBody } of routes) {
  const nearlyValid = fc
    .dictionary(fc.constantFrom(...fields, "unknown"), likely, { maxKeys: 3 })
    .map((changes) => ({ ...valid, ...changes }));
  const anything = fc.oneof(
    { weight: 1, arbitrary: fc.jsonValue() },
    { weight: 4, arbitrary: nearlyValid },
  );

  test(`${path}: whatever the body, the server never fails and errors have one shape`, async () => {
    await fc.assert(
      fc.asyncProperty(anything, async (body) => {
        const reply = await post(path, body);
        const text = await reply.text();
        expect(reply.status).toBeLessThan(500);
        if (reply.status >= 400) expect(checkError(JSON.parse(text))).toBeNull();
        else if (!text.startsWith("data:") && !text.startsWith(":")) {
          expect(checkBody(JSON.parse(text))).toBeNull();
        }
      }),
      { numRuns: 150 },
    );
  });
}

test("every chunk of every kind of stream is as documented", async () => {
  const checkChat = compileCheck(chatChunkSchema);
  const checkCompletion = compileCheck(completionChunkSchema);
  const stream = {
    stream: true as const,
    stream_options: { include_usage: true },
    model: "tiny-chat",
  };
  const chats = await Promise.all([
    client.chat.completions.create({ ...stream, messages, logprobs: true, top_logprobs: 2, n: 2 }),
    client.chat.completions.create({ ...stream, messages, model: "tiny-chat/best-of-3" }),
  ]);
  const completions = await client.completions.create({
    ...stream,
    prompt: ["a", "b"],
    logprobs: 2,
  });
  for (const chat of chats) {
    for (const chunk of await collect(chat)) expect(checkChat(chunk)).toBeNull();
  }
  for (const chunk of await collect(completions)) expect(checkCompletion(chunk)).toBeNull();
});

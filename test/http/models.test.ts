import { afterAll, expect, test } from "vitest";
import { errorOf, startServer } from "../support/http-server.ts";

const { client, url, post, gateway } = await startServer({}, afterAll);

test("lists policies, presets and rewards in OpenAI's shape", async () => {
  const { data } = await client.models.list();
  expect(data.map(({ id, object, owned_by }) => [id, object, owned_by])).toEqual([
    ["tiny-chat", "model", "plumbline"],
    ["tiny-chat/best-of-3", "model", "plumbline"],
    ["tiny-reward", "model", "plumbline"],
  ]);
});

test("finds a preset whether its slash is encoded or not", async () => {
  const card = await client.models.retrieve("tiny-chat/best-of-3"); // sends %2F
  expect(card).toMatchObject({ id: "tiny-chat/best-of-3", kind: "preset", revision: "canned-1" });
  const reply = await fetch(`${url}/v1/models/tiny-chat/best-of-3`);
  expect(await reply.json()).toEqual(card);
});

test("an unknown model is 404", async () => {
  const reply = await fetch(`${url}/v1/models/tiny-cat`);
  expect([reply.status, await errorOf(reply)]).toMatchObject([404, { code: "model_not_found" }]);
});

test("scores given answers, in order, null where there is no judgement", async () => {
  const messages = [{ role: "user", content: "Hello?" }];
  const reply = await post("/v1/rewards", { messages, completions: ["four", "", "sixsix"] });
  expect(await reply.json()).toEqual({
    object: "list",
    model: "tiny-reward",
    revision: "canned-1",
    data: [
      { index: 0, object: "reward", reward: 4 },
      { index: 1, object: "reward", reward: null },
      { index: 2, object: "reward", reward: 6 },
    ],
  });
});

test.each([
  [{ model: "tiny-chat" }, 404, "model"],
  [{ completions: [] }, 400, "completions"],
  [{ completions: Array(129).fill("x") }, 400, "completions"],
  [{ completion: ["x"] }, 400, "completion"],
])("refuses to score %o", async (fields, status, param) => {
  const messages = [{ role: "user", content: "Hello?" }];
  const reply = await post("/v1/rewards", { messages, completions: ["x"], ...fields });
  expect([reply.status, (await errorOf(reply)).param]).toEqual([status, param]);
  expect(gateway.seen).toEqual([]);
});

test("scores by a reward that the request brings, for its user", async () => {
  const { post, gateway } = await startServer();
  const reward = { kind: "length", max: 5 };
  const body = { messages: [{ role: "user", content: "2+2?" }], completions: ["four"] };
  const reply = await post("/v1/rewards", { ...body, reward, user: "bob" });
  expect(await reply.json()).toMatchObject({ model: "length", data: [{ index: 0, reward: 4 }] });
  expect(gateway.scored).toEqual([
    { asked: reward, prompt: { messages: body.messages, user: "bob" } },
  ]);
  const both = await post("/v1/rewards", { ...body, reward, model: "tiny-reward" });
  expect([both.status, (await errorOf(both)).param]).toEqual([400, "reward"]);
  const nameless = await post("/v1/rewards", { ...body, reward: {} });
  expect([nameless.status, (await errorOf(nameless)).param]).toEqual([400, "reward.kind"]);
});

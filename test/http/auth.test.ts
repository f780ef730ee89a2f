import OpenAI from "openai";
import { afterAll, expect, test } from "vitest";
import { errorOf, startServer } from "../support/http-server.ts";

const { client, url } = await startServer({ flags: { apiKeys: "key-1,key-2" } }, afterAll);

test("takes any configured key as a bearer", async () => {
  expect((await client.models.list()).data.length).toBeGreaterThan(0);
  const reply = await fetch(`${url}/v1/models`, { headers: { authorization: "bearer key-2" } });
  expect(reply.status).toBe(200);
});

test.each([
  undefined,
  "Bearer",
  "Bearer key-3",
  "Bearer key-1x",
  "Basic key-1",
  "Bearer key-1,key-2",
])("refuses the authorization %o", async (authorization) => {
  const reply = await fetch(
    `${url}/v1/models`,
    authorization ? { headers: { authorization } } : {},
  );
  expect(reply.status).toBe(401);
  expect(reply.headers.get("www-authenticate")).toBe("Bearer");
  expect(await errorOf(reply)).toMatchObject({
    code: "unauthorized",
    type: "invalid_request_error",
  });
});

test("the official client sees an authentication error", async () => {
  const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "wrong", maxRetries: 0 });
  await expect(stranger.models.list()).rejects.toThrow(OpenAI.AuthenticationError);
});

test("leaves the health probes open, and nothing else", async () => {
  const paths = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/nothing", "/healthz/x"];
  const statuses = await Promise.all(paths.map(async (path) => (await fetch(url + path)).status));
  expect(statuses).toEqual([200, 200, 401, 401, 401, 401]);
});

test("refuses a body without a key before reading it", async () => {
  const reply = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: "{" });
  expect(reply.status).toBe(401);
});

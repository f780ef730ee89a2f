import { expect, test } from "vitest";
import { GatewayError } from "../../src/base/errors.ts";
import { createGate, errorOf, startServer, until } from "../support/http-server.ts";

const ask = { model: "tiny-chat", messages: [{ role: "user", content: "Hello?" }] };
const chat = "/v1/chat/completions";

test("is alive at once, ready when the gateway is", async () => {
  const problems = ["tiny-reward is loading"];
  const { url } = await startServer({ readiness: { ready: false, problems } });
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  const reply = await fetch(`${url}/readyz`);
  expect([reply.status, await reply.json()]).toEqual([503, { ready: false, problems }]);
});

test("the OpenAPI document describes every route", async () => {
  const { app, url } = await startServer();
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as {
    openapi: string;
    paths: Record<string, Record<string, { summary: string; responses: object }>>;
  };
  expect(document.openapi).toBe("3.1.0");
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(routes.toSorted()).toEqual([
    "DELETE /v1/adapters/{name}",
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
    "GET /v1/models",
    "GET /v1/models/{id}",
    "GET /v1/stream",
    "POST /v1/adapters",
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/rewards",
  ]);
  const served = app.printRoutes({ commonPrefix: false }).match(/\((?:GET|POST|DELETE)/g);
  expect(served).toHaveLength(routes.length);
  for (const methods of Object.values(document.paths)) {
    for (const { summary, responses } of Object.values(methods)) {
      expect(summary).toMatch(/^[A-Z]/);
      expect(Object.keys(responses).length).toBeGreaterThan(0);
    }
  }
});

test("counts every request once, by route, status and strategy", async () => {
  const { url, post } = await startServer();
  await (await post(chat, ask)).text();
  await (await post(chat, { ...ask, model: "tiny-chat/best-of-3", stream: true })).text();
  await (await post(chat, { ...ask, n: 0 })).text();
  await (await fetch(`${url}/v1/nothing`)).text();
  const reply = await fetch(`${url}/metrics`);
  const lines = (await reply.text()).split("\n");
  expect(reply.headers.get("content-type")).toContain("text/plain");
  const labels = (status: number, strategy: string) =>
    `plumbline_requests_total{route="${chat}",status="${status}",strategy="${strategy}"} 1`;
  expect(lines).toEqual(
    expect.arrayContaining([
      labels(200, "sample"),
      labels(200, "best-of-n"),
      labels(400, "none"),
      `plumbline_requests_total{route="none",status="404",strategy="none"} 1`,
      'plumbline_errors_total{code="invalid_request"} 1',
      'plumbline_errors_total{code="route_not_found"} 1',
      `plumbline_candidates_total{strategy="best-of-n"} 3`,
      `plumbline_searches_total{strategy="best-of-n",stopped="complete"} 1`,
      `plumbline_reward_deviation_count{reward="tiny-reward"} 1`,
      `plumbline_reward_calls_total{strategy="best-of-n"} 3`,
      `plumbline_tokens_total{kind="prompt"} 26`,
      `plumbline_first_token_seconds_count{strategy="best-of-n"} 1`,
      `plumbline_request_duration_seconds_count{route="${chat}"} 3`,
    ]),
  );
});

test("counts what was refused because a queue was full", async () => {
  const full = new GatewayError("queue_full", { waiting: 9, limit: 8, retryAfterSeconds: 3 });
  const { url, post } = await startServer({ refusal: full });
  expect((await post(chat, ask)).status).toBe(429);
  expect((await post(chat, { ...ask, n: 0 })).status).toBe(400);
  const text = await (await fetch(`${url}/metrics`)).text();
  expect(text.match(/^plumbline_queue_rejections_total\{.*/gm)).toEqual([
    'plumbline_queue_rejections_total{code="queue_full"} 1',
  ]);
});

test("a request whose client left is counted too", async () => {
  const { url, post, gateway } = await startServer({ step: createGate().step });
  const controller = new AbortController();
  const { signal } = controller;
  const headers = { "content-type": "application/json" };
  const answer = fetch(url + chat, { method: "POST", headers, body: JSON.stringify(ask), signal });
  await until(() => gateway.seen.length === 1);
  controller.abort();
  await expect(answer).rejects.toThrow();
  await until(() => gateway.aborted.length === 1);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toContain(`{route="${chat}",status="499",strategy="none"} 1`);
  expect((await post("/v1/nothing", {})).status).toBe(404);
});

test("a closing server finishes what runs and refuses what comes", async () => {
  const gate = createGate();
  const { app, url, post, gateway } = await startServer({ step: gate.step });
  const running = post(chat, ask);
  await until(() => gateway.seen.length === 1);
  const closed = app.close();
  const refused = await post(chat, ask);
  expect(refused.headers.get("retry-after")).toBe("5");
  expect([refused.status, (await errorOf(refused)).code]).toEqual([503, "shutting_down"]);
  const readiness = await fetch(`${url}/readyz`);
  expect([readiness.status, await readiness.json()]).toEqual([
    503,
    { ready: false, problems: ["shutting down"] },
  ]);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  gate.open();
  expect((await running).status).toBe(200);
  await closed;
  await expect(fetch(`${url}/healthz`)).rejects.toThrow();
});

test("an answer that outlasts the time to stop is ended, and says so", async () => {
  const { app, post, gateway } = await startServer({
    step: createGate().step,
    flags: { drainMsMax: "1" },
  });
  const running = post(chat, ask);
  await until(() => gateway.seen.length === 1);
  await app.close();
  const reply = await running;
  expect([reply.status, (await errorOf(reply)).code]).toEqual([503, "shutting_down"]);
});

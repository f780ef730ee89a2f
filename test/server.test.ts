/** The whole server on the embedded models, driven by the official client. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import pino from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadConfig } from "../src/base/config.ts";
import { type Server, startServer } from "../src/main.ts";
import { openStore } from "../src/store/store.ts";

const messages = [
  {
    role: "user" as const,
    content: "Anna has 37 dollars and buys 5 plants for 6 dollars each. How many dollars are left?",
  },
];
let dataDir: string;
let server: Server;
let client: OpenAI;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "plumbline-test-"));
  const flags = { port: "0", dataDir, logLevel: "silent" };
  server = await startServer(loadConfig({ flags, environment: {} }), pino({ level: "silent" }));
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});

afterAll(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

interface Report {
  chosen: number;
  reward: number;
  candidates: { text: string; reward: number }[];
  kl: { bound: number };
}

/** `alignment` is ours: the client passes it on, its types do not know it. */
async function bestOf(n: number, seed: number) {
  const body = { model: "tiny-chat", messages, seed, alignment: { strategy: "best-of-n", n } };
  const answer = await client.chat.completions.create(body);
  return { answer, report: (answer as unknown as { alignment: Report }).alignment };
}

test("best-of-n answers with the candidate of the highest reward, and all of them", async () => {
  const { answer, report } = await bestOf(8, 3);
  const rewards = report.candidates.map(({ reward }) => reward);
  expect(rewards).toHaveLength(8);
  expect(new Set(rewards).size).toBeGreaterThan(1);
  expect(report.reward).toBe(Math.max(...rewards));
  expect(answer.choices[0]!.message.content).toBe(report.candidates[report.chosen]!.text);
  expect(report.kl.bound).toBeCloseTo(Math.log(8) - 7 / 8, 12);
});

test("a seed reproduces the answer, also amid other requests", async () => {
  const [again, ...others] = await Promise.all([
    bestOf(4, 5),
    bestOf(4, 6),
    bestOf(3, 7),
    bestOf(8, 8),
  ]);
  const alone = await bestOf(4, 5);
  expect(again!.report.candidates).toEqual(alone.report.candidates);
  expect(others).toHaveLength(3);
});

test("/v1/rewards gives the reward that the search gave", async () => {
  const { report } = await bestOf(4, 9);
  const completions = report.candidates.map(({ text }) => text);
  const response = await fetch(`${server.url}/v1/rewards`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages, completions }),
  });
  const { data } = (await response.json()) as { data: { reward: number }[] };
  data.forEach(({ reward }, i) => {
    expect(reward).toBeCloseTo(report.candidates[i]!.reward, 4);
  });
});

test("a stream's text is the text that the same seed gives at once", async () => {
  const body = { model: "tiny-chat", messages, seed: 11, temperature: 0.7 };
  const whole = await client.chat.completions.create(body);
  let text = "";
  for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
  expect(text).toBe(whole.choices[0]!.message.content);
});

test("after the server has stopped, every answer is in the log with its candidates", async () => {
  const { answer, report } = await bestOf(4, 21);
  await server.close();
  const store = await openStore({ folder: join(dataDir, "store"), log: () => undefined });
  const record = await store.request(answer.id);
  await store.close();
  expect(record!.seed).toBe(21);
  expect(record!.promptTokens.length).toBe(answer.usage!.prompt_tokens);
  expect(record!.candidates.map(({ text }) => text)).toEqual(
    report.candidates.map(({ text }) => text),
  );
  expect(record!.candidates.map(({ rewards }) => rewards["tiny-reward"])).toEqual(
    report.candidates.map(({ reward }) => reward),
  );
});

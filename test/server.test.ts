/** The whole server on the embedded models, driven by the official client. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import pino from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadConfig } from "../src/base/config.ts";
import { createRandom } from "../src/base/random.ts";
import { type StoredTensor, writeSafetensors } from "../src/checkpoints/safetensors.ts";
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
  const adaptersDir = join(dataDir, "adapters");
  await writeAdapter(join(adaptersDir, "tuned"));
  const folderOfPolicy = join(import.meta.dirname, "..", "models", "tiny-chat");
  const flags = {
    port: "0",
    dataDir,
    adaptersDir,
    logLevel: "silent",
    policies: JSON.stringify({ second: { dir: folderOfPolicy, format: "int8" } }),
    rewards: JSON.stringify({
      tuning: { kind: "implicit", policy: "tiny-chat:tuned", reference: "tiny-chat" },
      rounding: { kind: "implicit", policy: "second", reference: "tiny-chat" },
    }),
  };
  server = await startServer(loadConfig({ flags, environment: {} }), pino({ level: "silent" }));
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});

afterAll(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

/** On the first layer of the embedded policy; strong enough to be noticed. */
async function writeAdapter(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const config = { peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["o_proj"] };
  await writeFile(join(folder, "adapter_config.json"), JSON.stringify(config));
  const random = createRandom(1);
  const matrix = (shape: readonly number[]): StoredTensor => {
    const data = Float32Array.from({ length: shape[0]! * shape[1]! }, () => random.normal());
    return { dtype: "F32", shape, data: new Uint8Array(data.buffer) };
  };
  const name = "base_model.model.model.layers.0.self_attn.o_proj.lora";
  const tensors = new Map([
    [`${name}_A.weight`, matrix([2, 256])],
    [`${name}_B.weight`, matrix([256, 2])],
  ]);
  await writeSafetensors(join(folder, "adapter_model.safetensors"), tensors);
}

interface Report {
  chosen: number;
  reward: number;
  candidates: { text: string; reward: number; reward_parts?: Record<string, number> }[];
  disagreement?: { deviation: number; correlation: number | null; dissenting: string[] };
  kl: { bound: number };
}

interface HeldOutReport extends Report {
  candidates: { text: string; reward: number; holdout: number }[];
  rewards: { max: number };
  holdout: { mean: number; chosen: number };
}

/** `alignment` is ours: the client passes it on, its types do not know it. */
async function bestOf(n: number, seed: number, reward: object | string | null = null) {
  const alignment = { strategy: "best-of-n", n, reward };
  const body = { model: "tiny-chat", messages, seed, alignment };
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

test("a second policy is a model of its own, and how it differs from the first is a reward", async () => {
  const ids = (await client.models.list()).data.map(({ id }) => id);
  expect(ids).toEqual(expect.arrayContaining(["tiny-chat", "second", "tuning", "rounding"]));
  const ask = (model: string) =>
    client.chat.completions.create({ model, messages, seed: 2, max_tokens: 4 });
  const [first, second] = [await ask("tiny-chat"), await ask("second")];
  expect(second.choices[0]!.message.content).not.toBe("");
  expect(second.system_fingerprint).not.toBe(first.system_fingerprint);
  const spread = async (reward: string) => {
    const { report } = await bestOf(4, 3, reward);
    return Math.max(...report.candidates.map((candidate) => Math.abs(candidate.reward)));
  };
  const [tuning, rounding] = [await spread("tuning"), await spread("rounding")];
  expect(rounding).toBeGreaterThan(0);
  expect(tuning).toBeGreaterThan(rounding); // noise on a layer changes more than 8 bits do
});

test("an ensemble that the request brings tells what its parts say, and how far they disagree", async () => {
  const parts = ["tiny-reward", { reward: { kind: "length", max: 5 }, id: "brief" }];
  const { report } = await bestOf(4, 3, { kind: "ensemble", parts });
  for (const { reward, reward_parts: said } of report.candidates) {
    expect(Object.keys(said!)).toEqual(["tiny-reward", "brief"]);
    expect(reward).toBeCloseTo((said!["tiny-reward"]! + said!["brief"]!) / 2, 5);
  }
  expect(report.disagreement!.deviation).toBeGreaterThan(0);
});

test("a reward that is held out judges the same candidates, chooses none, and is measured", async () => {
  const plain = await bestOf(6, 3);
  const holdout = { kind: "length", max: 5 };
  const body = { model: "tiny-chat", messages, seed: 3 };
  const ours = { alignment: { strategy: "best-of-n", n: 6, holdout } };
  const answer = await client.chat.completions.create({ ...body, ...ours });
  const { alignment: report } = answer as unknown as { alignment: HeldOutReport };
  expect(report.candidates.map(({ text }) => text)).toEqual(
    plain.report.candidates.map(({ text }) => text),
  );
  expect(report.chosen).toBe(plain.report.chosen);
  const held = report.candidates.map((candidate) => candidate.holdout);
  expect(report.holdout.mean).toBeCloseTo(held.reduce((sum, score) => sum + score, 0) / 6, 9);
  expect(report.holdout.chosen).toBe(held[report.chosen]);
  expect(report.rewards.max).toBe(report.reward);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toMatch(/plumbline_reward_gain_count\{strategy="best-of-n"\} \d/);
});

test("an adapter is a model of its own, goes and comes back, and leaves the policy as it was", async () => {
  const ask = async (model: string) => {
    const answer = await client.chat.completions.create({
      model,
      messages,
      seed: 2,
      max_tokens: 8,
    });
    return { text: answer.choices[0]!.message.content, revision: answer.system_fingerprint };
  };
  const adapters = (method: string, path: string, body?: object) =>
    fetch(`${server.url}/v1/adapters${path}`, {
      method,
      ...(body && {
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      }),
    });
  const [plain, tuned] = [await ask("tiny-chat"), await ask("tiny-chat:tuned")];
  expect(tuned.text).not.toBe(plain.text);
  expect(tuned.revision).toMatch(new RegExp(`^${plain.revision}\\+[0-9a-f]{12}$`));
  expect((await adapters("POST", "", { name: "tuned" })).status).toBe(409);
  expect((await adapters("DELETE", "/tuned")).status).toBe(200);
  await expect(ask("tiny-chat:tuned")).rejects.toMatchObject({ status: 404 });
  expect(await ask("tiny-chat")).toEqual(plain);
  expect((await adapters("DELETE", "/tuned")).status).toBe(404);
  expect((await adapters("POST", "", { name: "../adapters/tuned" })).status).toBe(404);
  const loaded = await adapters("POST", "", { name: "tuned" });
  expect(await loaded.json()).toMatchObject({ id: "tiny-chat:tuned", kind: "policy" });
  expect(await ask("tiny-chat:tuned")).toEqual(tuned);
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

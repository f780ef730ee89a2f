/** Clients that leave a search: the whole server on a small engine, for every strategy there is. */
import { once } from "node:events";
import pino from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { systemClock } from "../src/base/clock.ts";
import { loadConfig } from "../src/base/config.ts";
import { createMetrics } from "../src/base/metrics.ts";
import { Engine } from "../src/engine/engine.ts";
import { RewardEngine } from "../src/engine/reward-engine.ts";
import type { Generator } from "../src/engine/types.ts";
import { createGateway } from "../src/gateway/gateway.ts";
import type { Gateway } from "../src/gateway/types.ts";
import { buildApp } from "../src/http/app.ts";
import { openRuntime, type Runtime } from "../src/onnx/runtime/index.ts";
import { createPolicy } from "../src/registry/policy.ts";
import { createRegistry } from "../src/registry/registry.ts";
import { createRewardModel } from "../src/rewards/reward-model.ts";
import { strategies } from "../src/strategies/index.ts";
import { cannedProcessReward } from "./support/canned-reward.ts";
import { tinyLlama } from "./support/configs.ts";
import { until, untilStill } from "./support/http-server.ts";
import { template, tokenizer } from "./support/tabular-policy.ts";
import { loadModel, tinySource } from "./support/tiny-model.ts";

const config = tinyLlama({
  vocab_size: tokenizer.vocabSize,
  hidden_size: 32,
  intermediate_size: 48,
  max_position_embeddings: 256,
});
const metrics = createMetrics();
const engines: Engine[] = [];
const closing: (() => Promise<void>)[] = [];
let runtime: Runtime;
let url: string;

/** What all engines did. */
let drawn = 0;
let scored = 0;
/** Of the last request: what had been done when its signal aborted, and what ran then. */
let leaving: { readonly drawn: number; readonly scored: number; readonly running: number } | null;
let hasSettled = false;

const running = () => engines.reduce((sum, { stats }) => sum + stats.running, 0);
const waiting = () => engines.reduce((sum, { stats }) => sum + stats.waiting, 0);

beforeAll(async () => {
  runtime = openRuntime();
  const policies = [
    await openPolicy("tiny", 1),
    await openPolicy("other", 3),
    await openPolicy("third", 4),
  ];
  const scorer = new RewardEngine(await loadModel(runtime, tinySource(2, config), "scores"));
  closing.push(() => scorer.dispose());
  const model = createRewardModel({ id: "model", scorer, tokenizer, template });
  const steps = cannedProcessReward((step) => {
    scored += 1;
    return 1 / (1 + step.length);
  }, "steps");
  const registry = createRegistry({
    policies,
    rewards: [model, steps],
    presets: [],
    defaultReward: "model",
    created: 1,
    clock: systemClock,
  });
  const unused = () => Promise.reject(new Error("no adapters here"));
  const adapters = { available: async () => [], load: unused, unload: unused };
  const gateway = createGateway({
    registry,
    adapters,
    strategies,
    store: null,
    clock: systemClock,
  });
  const app = await buildApp({
    gateway: watched(gateway),
    config: loadConfig({ flags: {}, environment: {} }),
    metrics,
    clock: systemClock,
    log: pino({ level: "silent" }),
    version: "0.0.0-test",
  });
  url = await app.listen({ host: "127.0.0.1", port: 0 });
  closing.unshift(() => app.close().then(() => undefined));
});
afterAll(async () => {
  for (const close of closing) await close();
  metrics.close();
  runtime.dispose();
});

async function openPolicy(id: string, seed: number) {
  const model = await loadModel(runtime, tinySource(seed, config), "logits");
  const engine = new Engine(model, { sequencesMax: 32, queueSequencesMax: 256 });
  engines.push(engine);
  closing.push(() => engine.dispose());
  return createPolicy({ id, created: 1, generator: counting(engine), tokenizer, template });
}

/** The engine, whose tokens are counted, grown ones as well. */
function counting(engine: Engine): Generator {
  const { revision, contextTokens, vocabSize } = engine;
  return {
    revision,
    contextTokens,
    vocabSize,
    sample: (prompt, n, sampling, control) =>
      engine.sample(prompt, n, sampling, {
        ...control,
        onToken(index, token) {
          drawn += 1;
          return control.onToken?.(index, token) ?? false;
        },
      }),
    async grow(...given) {
      const { growing, next } = await engine.grow(...given);
      const step = <T>(run: Promise<T>) => {
        drawn += 1;
        return run;
      };
      return {
        next,
        growing: {
          get ids() {
            return growing.ids;
          },
          append: (id) => step(growing.append(id)),
          close: () => growing.close(),
        },
      };
    },
    score: (...given) => engine.score(...given),
  };
}

/** Notes what was done when an answer's client left, and when the answer had settled. */
function watched(gateway: Gateway): Gateway {
  return {
    ...gateway,
    async *answer(request) {
      leaving = null;
      hasSettled = false;
      request.signal.addEventListener("abort", () => {
        leaving = { drawn, scored, running: running() };
      });
      try {
        yield* gateway.answer(request);
      } finally {
        hasSettled = true;
      }
    },
  };
}

/** What some need; all take steps or pieces so short that leaving comes in the middle. */
const options: Readonly<Record<string, object>> = {
  blockwise: { block_tokens: 4 },
  "speculative-rejection": { lengths: [8, 16, 32, 64] },
  cards: { segment_tokens_max: 4 },
  "beam-search": { reward: "steps", step_tokens: 4 },
  dvts: { reward: "steps", step_tokens: 4 },
  "particle-filtering": { reward: "steps", step_tokens: 4 },
  mcts: { reward: "steps", step_tokens: 4 },
  "reward-guided-speculative": { reward: "steps", step_tokens: 4, draft: "other" },
  "weak-to-strong": { tuned: "other", base: "third", chunk_tokens: 4 },
  genarm: { arm: "other" },
  dera: { aligned: "other" },
};

/** Letters alone, which never end. */
const isLetter = (id: number) => /^[a-z ]$/.test(Buffer.from(tokenizer.bytesOf(id)).toString());
const logit_bias = Object.fromEntries(
  Array.from({ length: tokenizer.vocabSize }, (_, id) => id)
    .filter((id) => !isLetter(id))
    .map((id) => [id, -100]),
);

const askFor = (strategy: string) => ({
  model: "tiny",
  messages: [{ role: "user", content: "Hi" }],
  max_tokens: 200,
  seed: 1,
  logit_bias,
  alignment: { strategy, ...options[strategy] },
});

/** After so many tokens the client leaves: all are in the middle of their search. */
const enough = 12;

/** @returns how to leave. */
async function askByEvents(strategy: string): Promise<() => void> {
  const controller = new AbortController();
  const reply = fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...askFor(strategy), stream: true }),
    signal: controller.signal,
  });
  reply.then((got) => got.body?.pipeTo(new WritableStream())).catch(() => {}); // it is left
  return () => controller.abort();
}

async function askBySocket(strategy: string): Promise<() => void> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/v1/stream`);
  await once(socket, "open");
  socket.send(JSON.stringify({ type: "response.create", id: "a", request: askFor(strategy) }));
  return () => socket.terminate();
}

const transports = { "server-sent events": askByEvents, "a socket": askBySocket };
const cases = strategies.flatMap(({ name }) =>
  (Object.keys(transports) as (keyof typeof transports)[]).map((by) => [name, by] as const),
);

test.each(cases)("%s over %s stops within a step when its client leaves", async (strategy, by) => {
  const before = drawn;
  const leave = await transports[by](strategy);
  await until(() => drawn >= before + enough || hasSettledEarly());
  leave();
  await until(() => hasSettled);
  expect(leaving).not.toBeNull();
  const { drawn: drawnThen, scored: scoredThen, running: runningThen } = leaving!;
  // What was being computed may still come out: one token of each sequence that ran, or of one that grows.
  expect(drawn - drawnThen).toBeLessThanOrEqual(Math.max(1, runningThen));
  expect(scored).toBe(scoredThen);
  await untilStill(() => drawn + scored);
  expect(drawn - drawnThen).toBeLessThanOrEqual(Math.max(1, runningThen));
  await until(() => running() + waiting() === 0);
  hasSettled = false;
});

/** A search that failed or ended by itself would wait for ever. */
function hasSettledEarly(): boolean {
  if (hasSettled) throw new Error("the search ended before its client could leave");
  return false;
}

/** Every strategy from request to answer on the embedded models, with the rewards that fit it. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { prompts } from "../../src/corpus/index.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import { createGateway } from "../../src/gateway/gateway.ts";
import type { Answer, Gateway } from "../../src/gateway/types.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { type LoadedPolicy, loadPolicy } from "../../src/registry/load.ts";
import { loadReward } from "../../src/registry/load-reward.ts";
import { createPolicy } from "../../src/registry/policy.ts";
import { createRegistry } from "../../src/registry/registry.ts";
import type { RewardSpec } from "../../src/rewards/define.ts";
import { strategies } from "../../src/strategies/index.ts";

const models = join(import.meta.dirname, "..", "..", "models");
let runtime: Runtime;
let loaded: LoadedPolicy;
let judge: Awaited<ReturnType<typeof loadReward>>;
let gateway: Gateway;

beforeAll(async () => {
  runtime = openRuntime();
  const turnstile = new Turnstile(systemClock);
  const common = { runtime, provider: "cpu" as const, turnstile, threads: 1 };
  loaded = await loadPolicy({
    ...common,
    folder: join(models, "tiny-chat"),
    sequencesMax: 16,
    queueSequencesMax: 64,
  });
  judge = await loadReward({ ...common, folder: join(models, "tiny-reward") });
  // the same engine under another id, as a draft, an aligned or a cheaper model
  const twin = createPolicy({ ...loaded.parts, id: "twin" });
  const registry = createRegistry({
    policies: [loaded.policy, twin],
    rewards: [judge.reward],
    presets: [],
    defaultReward: "tiny-reward",
    created: 1,
    clock: systemClock,
  });
  const refuse = () => Promise.reject(new Error("no adapters here"));
  const adapters = { available: async () => [], load: refuse, unload: refuse };
  gateway = createGateway({ registry, adapters, strategies, store: null, clock: systemClock });
});
afterAll(async () => {
  await loaded.engine.dispose();
  await judge.engine.dispose();
  runtime.dispose();
});

interface Example {
  /** `tiny-reward`, unless said otherwise. */
  readonly reward?: RewardSpec;
  readonly options?: Readonly<Record<string, unknown>>;
}

const steps: RewardSpec = { kind: "calculation" };
const examples: Readonly<Record<string, Example>> = {
  sample: {},
  "best-of-n": { options: { n: 4 } },
  "adaptive-best-of-n": { options: { n: 8 } },
  rejection: { options: { n: 8 } },
  rso: { options: { n: 4 } },
  "majority-vote": { options: { n: 4 } },
  "weighted-vote": { options: { n: 4 } },
  mixture: { options: { n: 4, members: [{ temperature: 0.7 }, { model: "twin" }] } },
  cascade: { options: { members: [{ model: "twin" }, {}], threshold: 1 } },
  "prompt-router": { options: { probe: 8 } },
  blockwise: { options: { k: 4 } },
  "speculative-rejection": { options: { n: 8, lengths: [8, 16] } },
  "beam-search": { reward: steps },
  dvts: { reward: steps },
  "particle-filtering": { reward: steps, options: { n: 4 } },
  mcts: { reward: steps, options: { simulations: 4 } },
  "reward-guided-speculative": { reward: steps, options: { draft: "twin" } },
  cards: { options: { rejections_max: 2 } },
  "weak-to-strong": { options: { tuned: "twin", base: "tiny-chat", beams: 2, successors: 2 } },
  args: {},
  rad: {},
  "value-guided": {},
  genarm: { options: { arm: "twin" } },
  dera: { options: { aligned: "twin" } },
};

const [{ value: prompt }] = [prompts("arithmetic", "heldout", 5).next()];

async function answer(strategy: string, { reward, options = {} }: Example): Promise<Answer> {
  const { needsReward } = strategies.find(({ name }) => name === strategy)!;
  const events = gateway.answer({
    id: "req-1",
    route: "test",
    model: "tiny-chat",
    conversation: { kind: "chat", messages: prompt.messages },
    sampling: { maxTokens: 96, seed: 3, temperature: 1 },
    choices: 1,
    alignment: { strategy, reward: reward ?? (needsReward ? "tiny-reward" : null), options },
    store: false,
    user: null,
    metadata: null,
    signal: new AbortController().signal,
  });
  let streamed = "";
  for await (const event of events) {
    if (event.type === "text-delta") streamed += event.text;
    if (event.type !== "done") continue;
    expect(streamed).toBe(event.answer.choices[0]!.text);
    return event.answer;
  }
  throw new Error("ended without an answer");
}

test("there is an example of every strategy, and no other", () => {
  expect(Object.keys(examples).toSorted()).toEqual(strategies.map(({ name }) => name).toSorted());
});

describe.each(strategies.map((strategy) => [strategy.name, strategy] as const))("%s", (name) => {
  test("answers, says what it cost and why it stopped, and leaves the engine empty", async () => {
    const { choices, report, completionTokens } = await answer(name, examples[name]!);
    const [choice] = choices;
    expect(choice!.text).toMatch(/\d/);
    expect(choice!.finishReason).toBe("stop");
    expect(choice).toEqual(report.candidates[report.chosen]);
    expect(report.stopped).toMatch(/^[a-z-]+$/);
    for (const each of report.candidates) {
      expect(each.tokens.length).toBeGreaterThan(0);
      expect(Number.isFinite(each.logprob)).toBe(true);
      expect(each.rewardProblem).toBeNull();
      if (each.reward !== null) expect(Number.isFinite(each.reward)).toBe(true);
    }
    expect(completionTokens).toBeGreaterThanOrEqual(choice!.tokens.length);
    expect(report.cost.tokens).toBeGreaterThan(0);
    expect(Number.isFinite(report.cost.ms)).toBe(true);
    for (const kl of [report.kl.bound, report.kl.estimate]) {
      if (kl !== null) expect(Number.isFinite(kl)).toBe(true);
    }
    for (const value of Object.values(report.details ?? {})) {
      expect(Number.isFinite(value)).toBe(true);
    }
    expect(loaded.engine.stats).toMatchObject({ waiting: 0, running: 0 });
  });
});

test("searches that come again take no memory that they did not have before", async () => {
  // the batch keeps its slots for who comes next; what a sequence left behind would add to them
  const { cacheBytes } = loaded.engine.stats;
  for (const name of ["dvts", "weak-to-strong", "dera", "mcts"]) {
    await answer(name, examples[name]!);
  }
  expect(loaded.engine.stats.cacheBytes).toBe(cacheBytes);
});

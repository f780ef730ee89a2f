import { describe, expect, test } from "vitest";
import type { Clock } from "../../src/base/clock.ts";
import { GatewayError } from "../../src/base/errors.ts";
import { createGateway, type GatewayParts } from "../../src/gateway/gateway.ts";
import type { Answer, AnswerEvent, AnswerRequest, Gateway } from "../../src/gateway/types.ts";
import { createRegistry, type RegistryParts } from "../../src/registry/registry.ts";
import type { Preset } from "../../src/registry/types.ts";
import type { Reward } from "../../src/rewards/define.ts";
import type { RequestRecord } from "../../src/store/types.ts";
import { strategies } from "../../src/strategies/index.ts";
import { cannedComparison } from "../support/canned-comparison.ts";
import { cannedProcessReward, cannedReward, flaggedReward } from "../support/canned-reward.ts";
import { tabularPolicy } from "../support/tabular-policy.ts";

const policy = tabularPolicy();
/** "Hi" in ChatML, a token a byte: 1+5+2+1+1 of the user's turn and 1+10 that open the answer. */
const hiTokens = 21;
const byLength = () => cannedReward((text) => text.length, "judge");
const preset: Preset = {
  id: "table/best-of-4",
  model: "table",
  strategy: "best-of-n",
  options: { n: 4 },
  reward: null,
};

/** A log in memory; `fail` makes the next appends reject. */
/** The longer one is better. */
const comparing = cannedComparison((a, b) => (Math.sign(a.length - b.length) + 1) / 2);

function memoryStore() {
  const records: RequestRecord[] = [];
  let failure: Error | null = null;
  return {
    records,
    fail: (error: Error | null) => {
      failure = error;
    },
    async append(record: RequestRecord) {
      if (failure) throw failure;
      records.push(record);
    },
  };
}

/** Every reading is 5 ms after the last one. */
function steppingClock(): Clock & { advance(ms: number): void } {
  let ms = 0;
  return {
    now: () => 1_700_000_000_000,
    elapsedMs: () => (ms += 5),
    advance: (by) => {
      ms += by;
    },
  };
}

interface World {
  readonly gateway: Gateway;
  readonly store: ReturnType<typeof memoryStore>;
  readonly clock: ReturnType<typeof steppingClock>;
}

/** None: what they are is tested with the engine and over HTTP. */
const adapters: GatewayParts["adapters"] = {
  available: async () => [],
  load: () => Promise.reject(new Error("no adapters here")),
  unload: () => Promise.reject(new Error("no adapters here")),
};

function world(
  { reward = byLength(), ...registryParts }: Partial<RegistryParts> & { reward?: Reward } = {},
  gatewayParts: Partial<GatewayParts> = {},
): World {
  const store = memoryStore();
  const clock = steppingClock();
  const registry = createRegistry({
    policies: [policy],
    rewards: [reward],
    presets: [preset],
    defaultReward: "judge",
    created: 1,
    clock,
    ...registryParts,
  });
  return {
    gateway: createGateway({ registry, adapters, strategies, store, clock, ...gatewayParts }),
    store,
    clock,
  };
}

function request(overrides: Partial<AnswerRequest> = {}): AnswerRequest {
  return {
    id: "req-1",
    route: "/v1/chat/completions",
    model: "table",
    conversation: { kind: "chat", messages: [{ role: "user", content: "Hi" }] },
    sampling: { maxTokens: 6, seed: 11 },
    choices: 1,
    alignment: null,
    store: true,
    user: null,
    metadata: null,
    signal: new AbortController().signal,
    ...overrides,
  };
}

const bestOf = (n: number) => ({ strategy: "best-of-n", reward: null, options: { n } });

async function read(gateway: Gateway, asked: AnswerRequest) {
  const events: AnswerEvent[] = [];
  for await (const event of gateway.answer(asked)) events.push(event);
  return events;
}

async function answer(gateway: Gateway, asked: AnswerRequest): Promise<Answer> {
  const last = (await read(gateway, asked)).at(-1);
  if (last?.type !== "done") throw new Error(`ended with ${last?.type ?? "nothing"}`);
  return last.answer;
}

const refusal = (gateway: Gateway, asked: Partial<AnswerRequest>) =>
  read(gateway, request(asked)).then(
    () => null,
    (error: unknown) => error,
  );

describe("an answer", () => {
  test("starts, streams, and is done once, last", async () => {
    const { gateway } = world();
    const events = await read(gateway, request());
    expect(events[0]).toEqual({ type: "started", policy, promptTokens: hiTokens, seed: 11 });
    expect(events.filter(({ type }) => type === "done")).toHaveLength(1);
    expect(events.at(-1)!.type).toBe("done");
  });

  test("is plain sampling without a reward when nothing is asked for", async () => {
    const { report, choices } = await answer(world().gateway, request({ choices: 2 }));
    expect(report).toMatchObject({ strategy: "sample", n: 2, chosen: 0, reward: null });
    expect(report.revision).toEqual({ policy: "table-1", reward: null });
    expect(choices).toEqual(report.candidates);
  });

  test("reports what the search cost: tokens of all candidates, reward calls, milliseconds", async () => {
    const { gateway, store } = world();
    const { report, promptTokens, completionTokens } = await answer(
      gateway,
      request({ alignment: bestOf(5) }),
    );
    const tokens = report.candidates.reduce((sum, candidate) => sum + candidate.tokens.length, 0);
    const spent = { tokens, rewardCalls: 5, ms: 5 };
    expect(report.cost).toEqual({ ...spent, rewardTokens: 0 });
    expect([promptTokens, completionTokens]).toEqual([hiTokens, tokens]);
    expect(store.records[0]!.cost).toEqual(spent);
  });

  test("counts what candidates share once, as it was drawn", async () => {
    const options = { k: 3, block_tokens: 2 };
    const alignment = { ...bestOf(1), strategy: "blockwise", options };
    const { report, completionTokens } = await answer(world().gateway, request({ alignment }));
    const listed = report.candidates.map(({ tokens }) => tokens.length);
    const longest = Math.max(...listed);
    expect(completionTokens).toBe(report.cost.tokens);
    expect(completionTokens).toBeLessThanOrEqual(3 * longest);
    expect(completionTokens).toBeLessThan(listed.reduce((sum, length) => sum + length, 0));
  });

  test("returns the choices best first, with the reward of the first in the report", async () => {
    const asked = request({ alignment: bestOf(8), choices: 3 });
    const { choices, report } = await answer(world().gateway, asked);
    const lengths = choices.map(({ text }) => text.length);
    expect(lengths).toEqual(lengths.toSorted((a, b) => b - a));
    expect(report.reward).toBe(lengths[0]);
    expect(report.candidates[report.chosen]).toEqual(choices[0]);
  });

  test("is the same again for the same seed, and tells a seed that it drew itself", async () => {
    const { gateway } = world();
    const unseeded = request({ sampling: { maxTokens: 6 }, alignment: bestOf(4) });
    const first = await answer(gateway, unseeded);
    const { seed } = first.report;
    expect(Number.isSafeInteger(seed)).toBe(true);
    const again = await answer(gateway, { ...unseeded, sampling: { maxTokens: 6, seed } });
    expect(again.choices).toEqual(first.choices);
    expect((await answer(gateway, unseeded)).report.seed).not.toBe(seed);
  });

  test("takes what the context holds when no limit is given, or too large a one", async () => {
    const endless = tabularPolicy({ contextTokens: hiTokens + 7 });
    for (const maxTokens of [null, 1_000]) {
      const { gateway } = world({ policies: [endless] });
      const sampling = {
        maxTokens,
        seed: 2,
        logitBias: new Map([[endless.encode({ kind: "text", text: "a" })[0]!, 50]]),
      };
      const { choices } = await answer(gateway, request({ sampling }));
      expect(choices[0]).toMatchObject({ text: "aaaaaaa", finishReason: "length" });
    }
  });

  test("uses the policy's defaults for what the request leaves open", async () => {
    const { gateway, store } = world({ policies: [tabularPolicy({ defaults: { topP: 0.9 } })] });
    await answer(gateway, request({ sampling: { maxTokens: 3, seed: 1, temperature: 0.5 } }));
    expect(store.records[0]!.sampling).toMatchObject({ topP: 0.9, temperature: 0.5, topK: 0 });
  });
});

describe("a preset", () => {
  test("is a model id that brings its strategy and options", async () => {
    const { report } = await answer(world().gateway, request({ model: preset.id }));
    expect(report).toMatchObject({ strategy: "best-of-n", n: 4 });
    expect(report.revision.reward).toBe("judge-1");
  });

  test("gives way to the request's own alignment", async () => {
    const asked = request({ model: preset.id, alignment: bestOf(2) });
    expect((await answer(world().gateway, asked)).report.n).toBe(2);
  });

  test("with options that do not fit is refused when the gateway is made", () => {
    const wrong = { ...preset, options: { n: 0 } };
    expect(() => world({ presets: [wrong] })).toThrow(/'alignment\.n': must be at least 1/);
    expect(() => world({ presets: [{ ...preset, strategy: "magic" }] })).toThrow(/'magic'/);
  });
});

describe("a refused request", () => {
  test.each<[string, Partial<AnswerRequest>, object, RegExp]>([
    ["an unknown model", { model: "gpt-4" }, { code: "model_not_found" }, /table\/best-of-4/],
    [
      "an unknown strategy",
      { alignment: { strategy: "best-of-m", reward: null, options: {} } },
      { code: "strategy_not_found", param: "alignment.strategy" },
      /sample, best-of-n/,
    ],
    [
      "an unknown reward",
      { alignment: { ...bestOf(2), reward: "jury" } },
      { code: "reward_not_found", param: "alignment.reward" },
      /judge/,
    ],
    [
      "an unknown option",
      { alignment: { strategy: "best-of-n", reward: null, options: { N: 4 } } },
      { code: "invalid_request", param: "alignment.N" },
      /its options are: n, .*\); did you mean 'n'\?/,
    ],
    [
      "an option out of range",
      { alignment: bestOf(129) },
      { code: "invalid_request", param: "alignment.n" },
      /must be at most 128/,
    ],
    [
      "a prompt that is too long",
      { conversation: { kind: "text", text: "x".repeat(64) } },
      { code: "prompt_too_long" },
      /has 64 tokens; this model accepts 63/,
    ],
  ])("for %s says so, starts nothing and leaves no record", async (_, asked, shape, message) => {
    const { gateway, store } = world();
    const error = await refusal(gateway, asked);
    expect(error).toBeInstanceOf(GatewayError);
    expect(error).toMatchObject(shape);
    expect((error as GatewayError).message).toMatch(message);
    expect(store.records).toEqual([]);
  });

  test("says what to do with a reward that only compares, unless the strategy does", async () => {
    const { gateway } = world({ rewards: [comparing], defaultReward: "pairs" });
    for (const alignment of [bestOf(2), { strategy: "sample", reward: "pairs", options: {} }]) {
      const error = await refusal(gateway, { alignment });
      expect(error).toMatchObject({ code: "reward_compares_only" });
      expect((error as GatewayError).message).toMatch(/"choose": "knockout" or "round-robin"/);
    }
    const options = { n: 4, choose: "knockout" };
    const alignment = { strategy: "best-of-n", reward: null, options };
    const { report } = await answer(gateway, request({ alignment }));
    expect(report.cost.rewardCalls).toBeLessThanOrEqual(3);
    const lengths = report.candidates.map(({ text }) => text.length);
    expect(lengths[report.chosen]).toBe(Math.max(...lengths));
  });

  test("says that no reward can be had when the strategy needs one", async () => {
    const { gateway } = world({ rewards: [], defaultReward: null });
    expect(await refusal(gateway, { alignment: bestOf(2) })).toMatchObject({
      code: "invalid_request",
      param: "alignment.reward",
    });
  });
});

describe("a reward made of others", () => {
  /** As long as can be, unless it is for bob. */
  const byUser = {
    kind: "ensemble",
    parts: ["judge", { reward: { kind: "length", unit: "characters", max: 1 }, weight: 0 }],
    weights_by_user: { bob: { judge: 0, length: 1 } },
  };
  const asked = (user: string | null) =>
    request({ user, alignment: { ...bestOf(8), reward: byUser } });

  test("weighs its parts for the request's user", async () => {
    const chosenFor = async (user: string | null) => {
      const { report } = await answer(world().gateway, asked(user));
      const lengths = report.candidates.map(({ text }) => text.length);
      return [lengths[report.chosen], Math.min(...lengths), Math.max(...lengths)];
    };
    const [long, shortest, longest] = await chosenFor("ann");
    expect(longest).toBeGreaterThan(Math.max(1, shortest!));
    expect(long).toBe(longest);
    expect((await chosenFor("bob"))[0]).toBeLessThanOrEqual(1);
  });

  test("is reported and logged with what its parts say", async () => {
    const { gateway, store } = world();
    const { report } = await answer(gateway, asked(null));
    const shares = ({ text }: { text: string }) => -Math.max(0, text.length - 1);
    for (const candidate of report.candidates) {
      const { length } = candidate.text;
      expect(candidate.rewardParts!["judge"]).toBe(length);
      expect(candidate.rewardParts!["length"]).toBeCloseTo(shares(candidate), 12);
      expect(store.records[0]!.candidates[candidate.index]!.rewards).toEqual({
        ensemble: length,
        "ensemble/judge": length,
        "ensemble/length": candidate.rewardParts!["length"],
      });
    }
    expect(report.disagreement!.correlation).toBeLessThan(0);
    expect(report.disagreement!.dissenting).toEqual(["length"]);
    expect(report.warnings).toEqual([expect.stringMatching(/parts of the reward contradict/)]);
  });
});

describe("a reward that came about in another way than usual", () => {
  const flagged = () =>
    flaggedReward(
      (text) => text.length,
      (text) => (text.startsWith("a") ? "mean-logprob" : null),
      "judge",
    );
  const isFlagged = ({ text }: { text: string }) => text.startsWith("a");
  const nested = { kind: "ensemble", parts: ["judge"] };

  test.each([
    ["of its own", "judge", "best-of-n"],
    ["within another reward", nested, "best-of-n"],
    ["in a search over pieces", "judge", "blockwise"],
  ])(
    "%s is told with its candidate, counted in a warning, and logged",
    async (_, reward, strategy) => {
      const { gateway, store } = world({ reward: flagged() });
      const options = strategy === "best-of-n" ? { n: 9 } : { k: 4, block_tokens: 1 };
      const { report } = await answer(
        gateway,
        request({ alignment: { strategy, reward, options }, sampling: { maxTokens: 6, seed: 5 } }),
      );
      const told = report.candidates.filter(isFlagged);
      expect(told.length).toBeGreaterThan(0);
      expect(told.length).toBeLessThan(report.candidates.length);
      for (const candidate of report.candidates) {
        const flags = isFlagged(candidate) ? ["mean-logprob"] : undefined;
        expect(candidate.rewardFlags).toEqual(flags);
        expect(store.records[0]!.candidates[candidate.index]!.rewardFlags).toEqual(flags);
      }
      expect(report.warnings).toContainEqual(
        `${told.length} of ${report.candidates.length} rewards came about in another way than usual: a judge was never clear and the answer's likelihood stands for its rating (${told.length}).`,
      );
    },
  );
});

describe("a held-out reward", () => {
  const shortness = () => cannedReward((text) => -text.length, "shortness");
  const heldOut = (n: number, more: object = {}) =>
    request({ alignment: { ...bestOf(n), holdout: "shortness", ...more } });
  const withHoldout = (holdout: Reward = shortness()) => {
    const judge = byLength();
    return { ...world({ rewards: [judge, holdout] }), judge };
  };

  test("judges every candidate, changes none, and is reported, logged and warned of", async () => {
    const holdout = shortness();
    const { gateway, store } = withHoldout(holdout);
    const plain = await answer(gateway, request({ alignment: bestOf(8) }));
    const { report } = await answer(gateway, heldOut(8));
    expect(report.candidates).toEqual(plain.report.candidates);
    expect(report.chosen).toBe(plain.report.chosen);
    const lengths = report.candidates.map(({ text }) => text.length);
    const mean = lengths.reduce((sum, length) => sum + length, 0) / 8;
    expect(report.rewards).toMatchObject({ n: 8, max: Math.max(...lengths) });
    expect(report.holdout).toMatchObject({ reward: "shortness", revision: "shortness-1" });
    expect(report.holdout!.spread!.mean).toBeCloseTo(-mean, 12);
    expect(report.holdout!.chosen).toBe(-Math.max(...lengths));
    expect(report.warningKinds).toContain("holdout");
    expect(report.warningKinds).toHaveLength(report.warnings.length);
    for (const { index, rewards } of store.records[1]!.candidates) {
      const length = lengths[index]!;
      expect(rewards).toEqual({ judge: length, "holdout:shortness": -length });
    }
    expect(holdout.openSessions()).toBe(0);
  });

  test("costs reward calls, and is not refused by a budget of them", async () => {
    const { gateway } = withHoldout();
    const budget = { tokens: null, rewardCalls: 8, ms: null };
    const { report } = await answer(gateway, heldOut(8, { budget }));
    expect(report.cost.rewardCalls).toBe(16);
    expect(report.holdout!.spread!.n).toBe(8);
    expect(report.candidates.every(({ reward }) => reward !== null)).toBe(true);
  });

  test("that fails costs no answer", async () => {
    const { gateway, store } = withHoldout(
      cannedReward(
        (text) => (text.length > 3 ? Promise.reject(new Error("down")) : 1),
        "shortness",
      ),
    );
    const { report } = await answer(gateway, heldOut(16));
    const failed = report.candidates.filter(({ text }) => text.length > 3);
    expect(failed.length).toBeGreaterThan(0);
    expect(report.holdout!.spread!.n).toBe(16 - failed.length);
    expect(report.warnings).toContainEqual(
      `The held-out reward 'shortness' judged ${16 - failed.length} of 16 candidates: down.`,
    );
    const logged = store.records[0]!.candidates[failed[0]!.index]!.rewards;
    expect(logged["holdout:shortness"]).toBeNaN();
  });

  test("that cannot open the prompt costs no answer either", async () => {
    const broken = { ...shortness(), open: () => refuseOpening() };
    const { report } = await answer(withHoldout(broken).gateway, heldOut(4));
    expect(report.holdout).toMatchObject({ spread: null, chosen: null });
    expect(report.cost.rewardCalls).toBe(4);
    expect(report.warnings).toContainEqual(expect.stringMatching(/judged 0 of 4.*too long for it/));
  });

  test("is ended with the search", async () => {
    const signals: AbortSignal[] = [];
    const never = cannedReward((_, signal) => {
      signals.push(signal);
      return new Promise(() => {});
    }, "shortness");
    const { gateway } = withHoldout(never);
    for await (const event of gateway.answer(heldOut(4))) {
      if (event.type === "candidate-scored") break;
    }
    expect(signals.length).toBeGreaterThan(0);
    expect(signals.every(({ aborted }) => aborted)).toBe(true);
    expect(never.openSessions()).toBe(0);
  });

  test("may be one that the request brings, and not the one that chooses", async () => {
    const { gateway } = withHoldout();
    const brought = { kind: "length", unit: "characters", max: 3 };
    const { report } = await answer(gateway, heldOut(4, { holdout: brought }));
    expect(report.holdout!.reward).toBe("length");
    const refused = (holdout: unknown) => refusal(gateway, heldOut(4, { holdout }));
    expect(await refused("judge")).toMatchObject({ param: "alignment.holdout" });
    expect(await refused("jury")).toMatchObject({
      code: "reward_not_found",
      param: "alignment.holdout",
    });
    expect(await refused({ kind: "length", max: -1 })).toMatchObject({
      code: "invalid_request",
      param: "alignment.holdout.max",
    });
    expect(await refused({ kind: "ensemble", parts: ["jury"] })).toMatchObject({
      param: "alignment.holdout",
    });
  });

  test("and a budget may stand in a preset", async () => {
    const budget = { tokens: 3, rewardCalls: null, ms: null };
    const careful = { ...preset, id: "careful", holdout: "shortness", budget };
    const rewards = [byLength(), shortness()];
    const { gateway } = world({ rewards, presets: [careful] });
    const { report } = await answer(gateway, request({ model: "careful" }));
    expect(report.stopped).toBe("tokens");
    expect(report.holdout!.reward).toBe("shortness");
    expect(() => world({ presets: [careful] })).toThrow(/preset 'careful'.*'shortness'/);
  });
});

const refuseOpening = (): never => {
  throw new Error("the prompt is too long for it");
};

describe("the record", () => {
  test("holds every candidate with tokens, log-probabilities and rewards", async () => {
    const { gateway, store } = world();
    const asked = request({ alignment: bestOf(6), user: "u1", metadata: { run: "7" } });
    const { report } = await answer(gateway, asked);
    const [record] = store.records;
    expect(record).toMatchObject({
      id: "req-1",
      createdAt: 1_700_000_000_000,
      route: "/v1/chat/completions",
      model: "table",
      policyRevision: "table-1",
      rewardRevision: "judge-1",
      strategy: "best-of-n",
      strategyOptions: { n: 6 },
      seed: 11,
      messages: [{ role: "user", content: "Hi" }],
      outcome: "completed",
      error: null,
      user: "u1",
      metadata: { run: "7" },
    });
    expect(record!.promptTokens).toHaveLength(hiTokens);
    expect(record!.candidates).toEqual(
      report.candidates.map(({ index, text, tokens, finishReason, reward }) => ({
        index,
        text,
        tokens: tokens.map(({ id }) => id),
        logprobs: tokens.map(({ logprob }) => logprob),
        finishReason,
        rewards: { judge: reward },
        chosen: index === report.chosen,
      })),
    );
  });

  test("can be written as JSON, biases and all", async () => {
    const { gateway, store } = world();
    const sampling = { maxTokens: 2, seed: 1, logitBias: new Map([[7, -100]]) };
    await answer(gateway, request({ sampling }));
    expect(JSON.parse(JSON.stringify(store.records[0]!.sampling))).toMatchObject({
      logitBias: { 7: -100 },
      maxTokens: 2,
    });
  });

  test("is there before the answer is done", async () => {
    const { gateway, store } = world();
    for await (const event of gateway.answer(request())) {
      expect(store.records).toHaveLength(event.type === "done" ? 1 : 0);
    }
  });

  test("is not written when the request says so", async () => {
    const { gateway, store } = world();
    await answer(gateway, request({ store: false }));
    expect(store.records).toEqual([]);
  });

  test("keeps a reward that failed as NaN, and none where none was asked for", async () => {
    const reward = cannedReward((text) => (text.length > 3 ? text.length : Number.NaN), "judge");
    const { gateway, store } = world({ reward });
    const { report } = await answer(gateway, request({ alignment: bestOf(16) }));
    const failed = report.candidates.filter((candidate) => candidate.reward === null);
    expect(failed.length).toBeGreaterThan(0);
    for (const { index } of failed) {
      expect(store.records[0]!.candidates[index]!.rewards).toEqual({ judge: Number.NaN });
    }
    await answer(gateway, request());
    expect(store.records[1]!.candidates[0]!.rewards).toEqual({});
  });

  test("of a failed request has the error and the candidates it had", async () => {
    const reward = cannedReward(() => Number.NaN, "judge");
    const { gateway, store } = world({ reward });
    const error = await refusal(gateway, { alignment: bestOf(3) });
    expect(error).toMatchObject({ code: "all_candidates_failed" });
    const [record] = store.records;
    expect(record).toMatchObject({ outcome: "failed", error: (error as Error).message });
    expect(record!.candidates.map(({ index, chosen }) => [index, chosen])).toEqual([
      [0, false],
      [1, false],
      [2, false],
    ]);
    expect(record!.cost).toMatchObject({ rewardCalls: 3 });
  });

  test("of an aborted request is cancelled, with the candidates finished by then", async () => {
    const controller = new AbortController();
    const { gateway, store } = world();
    const stream = gateway.answer(request({ alignment: bestOf(16), signal: controller.signal }));
    const abortAtTheFirst = async () => {
      for await (const event of stream) {
        if (event.type === "candidate-scored") controller.abort(new Error("client left"));
      }
    };
    await expect(abortAtTheFirst()).rejects.toThrow("client left");
    const [record] = store.records;
    expect(record).toMatchObject({ outcome: "cancelled", error: "client left" });
    expect(record!.candidates.length).toBeGreaterThan(0);
    expect(record!.candidates.length).toBeLessThan(16);
    expect(record!.candidates.every(({ chosen }) => !chosen)).toBe(true);
  });

  test("is written too when the reader just stops reading", async () => {
    const reward = byLength();
    const { gateway, store } = world({ reward });
    for await (const event of gateway.answer(request({ alignment: bestOf(8) }))) {
      if (event.type === "candidate-delta") break;
    }
    expect(store.records).toHaveLength(1);
    expect(store.records[0]).toMatchObject({ outcome: "cancelled", error: null });
    expect(reward.openSessions()).toBe(0);
  });
});

describe("a log that cannot be written", () => {
  const full = new GatewayError("store_failed", {
    folder: "/d",
    problem: "ENOSPC",
    remedy: "Free.",
  });

  test("fails the request instead of answering it", async () => {
    const { gateway, store } = world();
    store.fail(full);
    const seen: string[] = [];
    const reading = async () => {
      for await (const { type } of gateway.answer(request())) seen.push(type);
    };
    await expect(reading()).rejects.toBe(full);
    expect(seen).not.toContain("done");
  });

  test("makes the server unready until it is written again, or for ten seconds", async () => {
    const { gateway, store, clock } = world();
    expect(gateway.ready()).toEqual({ ready: true, problems: [] });
    store.fail(full);
    await refusal(gateway, {});
    expect(gateway.ready()).toEqual({ ready: false, problems: [full.message] });
    store.fail(null);
    await answer(gateway, request());
    expect(gateway.ready().ready).toBe(true);
    store.fail(full);
    await refusal(gateway, {});
    clock.advance(10_000);
    expect(gateway.ready().ready).toBe(true);
  });

  test("that is only busy fails the request but not the server", async () => {
    const { gateway, store } = world();
    store.fail(new GatewayError("store_busy", { waitingBytes: 2, limitBytes: 1 }));
    expect(await refusal(gateway, {})).toMatchObject({ code: "store_busy" });
    expect(gateway.ready().ready).toBe(true);
  });
});

test("without a store requests are answered all the same", async () => {
  const { gateway } = world({}, { store: null });
  expect((await answer(gateway, request())).choices).toHaveLength(1);
});

describe("scoring given texts", () => {
  const never = new AbortController().signal;
  const messages = [{ role: "user", content: "Hi" }];

  test("gives raw rewards in order, null where there is no judgement", async () => {
    const reward = cannedReward((text) => (text === "" ? Number.NaN : -text.length), "judge");
    const { gateway } = world({ reward });
    expect(await gateway.score(null, { messages }, ["abc", "", "a"], never)).toEqual({
      reward: "judge",
      revision: "judge-1",
      scores: [-3, null, -1],
    });
    expect(reward.prompts).toEqual([{ messages }]);
    expect(reward.openSessions()).toBe(0);
  });

  test("a process reward says what it thinks of each step", async () => {
    const reward = cannedProcessReward(
      (step) => (step === "?" ? Number.NaN : step.length / 10),
      "judge",
    );
    const { gateway } = world({ reward });
    expect(await gateway.score(null, { messages }, ["ab\na", "a\n?"], never)).toEqual({
      reward: "judge",
      revision: "judge-1",
      scores: [0.1, null],
      steps: [
        [
          { text: "ab", score: 0.2 },
          { text: "a", score: 0.1 },
        ],
        [
          { text: "a", score: 0.1 },
          { text: "?", score: Number.NaN },
        ],
      ],
    });
    expect(reward.openSessions()).toBe(0);
  });

  test("says of a reward that came about in another way than usual how", async () => {
    const reward = flaggedReward(
      (text) => text.length,
      (text) => (text === "a" ? "asked-again" : null),
      "judge",
    );
    const { gateway } = world({ reward });
    const { flags } = await gateway.score(null, { messages }, ["a", "b"], never);
    expect(flags).toEqual([["asked-again"], []]);
  });

  test("takes a reward that the request brings, weighed for its user", async () => {
    const { gateway } = world();
    const parts = [
      "judge",
      { reward: { kind: "length", unit: "characters", max: 1 }, id: "brief" },
    ];
    const weights_by_user = { bob: { judge: 0 } };
    const asked = { kind: "ensemble", parts, combine: "sum", weights_by_user };
    const scoresFor = async (user: string | null) =>
      (await gateway.score(asked, { messages, user }, ["abc"], never)).scores;
    expect(await scoresFor(null)).toEqual([3 - 2]);
    expect(await scoresFor("bob")).toEqual([-2]);
    const wrong = gateway.score({ kind: "length", max: -1 }, { messages }, [], never);
    await expect(wrong).rejects.toMatchObject({ param: "reward.max" });
    const tooMuch = gateway.score({ kind: "code" }, { messages }, [], never);
    await expect(tooMuch).rejects.toMatchObject({ param: "reward.kind" });
  });

  test("fails when the source fails, and frees what it opened", async () => {
    const reward = cannedReward(() => Promise.reject(new Error("down")), "judge");
    const { gateway } = world({ reward });
    await expect(gateway.score("judge", { messages }, ["a", "b"], never)).rejects.toThrow("down");
    expect(reward.openSessions()).toBe(0);
  });

  test("refuses a reward that is not there", async () => {
    const { gateway } = world();
    await expect(gateway.score("jury", { messages }, [], never)).rejects.toMatchObject({
      code: "reward_not_found",
    });
    const bare = world({ rewards: [], defaultReward: null }).gateway;
    await expect(bare.score(null, { messages }, [], never)).rejects.toMatchObject({
      param: "reward",
    });
  });
});

test("models are the registry's, and a preset's policy is found by its id", () => {
  const { gateway } = world();
  expect(gateway.models().map(({ id }) => id)).toEqual(["table", "table/best-of-4", "judge"]);
  expect(gateway.policy("table/best-of-4")).toBe(policy);
  expect(() => gateway.policy("gpt-4")).toThrow(/does not exist/);
});

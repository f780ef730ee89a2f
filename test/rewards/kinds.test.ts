/** What every kind of reward promises. A kind that is not in `examples` fails here. */
import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { compileOptions } from "../../src/base/options.ts";
import { createSpeaker } from "../../src/registry/speaker.ts";
import type { RewardKind, RewardSpec, RewardWorld } from "../../src/rewards/define.ts";
import { rewardKindNamed, rewardKinds } from "../../src/rewards/index.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { optionNames } from "../support/option-names.ts";
import { send, startRewardServer } from "../support/reward-server.ts";
import { type TabularOptions, tabularGenerator } from "../support/tabular-generator.ts";
import { law, tabularPolicy, tempered, tokenizer } from "../support/tabular-policy.ts";

/** What each protocol's server says of one answer. */
const replies: Readonly<Record<string, unknown>> = {
  "/pooling": { data: [{ index: 0, data: [1.5] }] },
  "/score": { data: [{ index: 0, score: 1.5 }] },
  "/classify": { data: [{ index: 0, label: "good", probs: [1.5] }] },
  "/get_reward": { rewards: [1.5] },
  "/predict": [[{ score: 1.5, label: "good" }]],
  "/rerank": [{ index: 0, score: 1.5 }],
  "/v1/chat/completions": { choices: [{ message: { content: "Rating: [[7]]" } }] },
  "/pairs": { choices: [{ message: { content: "Equal. [[C]]" } }] },
};
const { url } = await startRewardServer(({ path }) => send(replies[path]), afterAll);

/** For each kind, options of two different rewards, and an answer that both have a number for. */
const examples: Readonly<Record<string, Example>> = {
  regex: { options: { pattern: "four" }, others: { pattern: "five" }, answer: "It is four." },
  "exact-match": { options: { expected: "4" }, others: { expected: "5" }, answer: "It is 4." },
  "numeric-match": { options: { expected: 4 }, others: { expected: 5 }, answer: "It is 4." },
  "json-schema": { options: {}, others: { partial: true }, answer: "4" },
  calculation: { options: {}, others: { grounded: false }, answer: "2 + 2 = 4" },
  "format-tags": { options: {}, others: { tags: ["answer"] }, answer: "<answer>4</answer>" },
  script: { options: { scripts: ["Latin"] }, others: { scripts: ["Greek"] }, answer: "four" },
  code: {
    options: { language: "javascript", isolation: "process", tests: [{ stdout: "4" }] },
    others: { language: "javascript", isolation: "process", tests: [{ stdout: "5" }] },
    answer: "console.log(2 + 2)",
  },
  length: { options: { max: 3 }, others: { max: 4 }, answer: "one two three" },
  ensemble: {
    options: { parts: ["judge", { reward: { kind: "length", max: 3 }, weight: 2 }] },
    others: { parts: ["judge", { reward: { kind: "length", max: 3 }, weight: 3 }] },
    answer: "one two three four",
  },
  calibrated: {
    options: { reward: "judge", method: "linear", offset: 2, scale: 3 },
    others: { reward: "judge", method: "logistic", slope: 2 },
    answer: "one",
  },
  "length-controlled": {
    options: { reward: "judge", slope: 0.5, typical: 2 },
    others: { reward: "judge", slope: 0.5, typical: 3 },
    answer: "one two three",
  },
  implicit: {
    options: { policy: "table", reference: "tempered" },
    others: { policy: "table", reference: "tempered", normalise: "tokens" },
    answer: "abc",
  },
  "vllm-pooling": servedAt("/pooling", { label: 0 }),
  "vllm-score": servedAt("/score", { raw_scores: false }),
  "vllm-classify": servedAt("/classify", { raw_scores: false }),
  openrlhf: servedAt("/get_reward", { template: "{{ messages[0].content }}" }),
  "tei-predict": servedAt("/predict", { pairs: true }),
  "tei-rerank": servedAt("/rerank", { raw_scores: false }),
  judge: servedAt("/v1/chat/completions", { max: 7 }),
  "pairwise-judge": servedAt("/pairs", { reference: "Five." }, { reference: "Four." }),
};

function servedAt(path: string, other: object, common: object = {}): Example {
  const options = { url: url + path, ...common };
  return { options, others: { ...options, ...other }, answer: "Four." };
}

interface Example {
  readonly options: Readonly<Record<string, unknown>>;
  readonly others: Readonly<Record<string, unknown>>;
  readonly answer: string;
}

const world: RewardWorld = {
  reward: (asked) =>
    typeof asked === "string"
      ? cannedReward((text) => text.length, asked)
      : made(rewardKindNamed(asked.kind, "reward"), withoutKind(asked)),
  speaker: (id) => createSpeaker(tabularPolicy({ id, generator: tabularGenerator(tables[id]!) })),
  clock: systemClock,
};
const tables: Readonly<Record<string, TabularOptions>> = {
  table: { law, vocabSize: tokenizer.vocabSize },
  tempered: { law: tempered(2), vocabSize: tokenizer.vocabSize, revision: "table-2" },
};
const withoutKind = (spec: RewardSpec) =>
  Object.fromEntries(Object.entries(spec).filter(([name]) => name !== "kind"));
const { signal } = new AbortController();
const messages = [{ role: "user", content: "What is 2 + 2?" }];

const made = (kind: RewardKind, options: Readonly<Record<string, unknown>>) =>
  kind.create("mine", compileOptions(kind, "reward")(options), world);

test("there is an example of every kind, and no other", () => {
  expect(Object.keys(examples).toSorted()).toEqual(rewardKinds.map(({ name }) => name).toSorted());
});

describe.each(rewardKinds)("$name", (kind) => {
  const { options, others, answer } = examples[kind.name]!;

  test("judges an answer by a number, the same whenever it is asked", async () => {
    const session = made(kind, options).open({ messages }, signal);
    const score = await session.score(answer);
    expect(Number.isFinite(score)).toBe(true);
    expect(await session.score(answer)).toBe(score);
    session.close();
    session.close();
  });

  test("has the given id, and a revision that its options decide", () => {
    const { id, revision } = made(kind, options);
    expect(id).toBe("mine");
    expect(made(kind, options).revision).toBe(revision);
    expect(made(kind, others).revision).not.toBe(revision);
  });

  test("refuses options that it does not have", () => {
    expect(() => made(kind, { ...options, tempurature: 1 })).toThrow(
      /^Invalid 'reward\.tempurature': .* has no such option/,
    );
  });

  test("has a name for JSON and a sentence for a reader", () => {
    expect(kind.name).toMatch(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
    expect(kind.description).toMatch(/^[A-Z].{10,}\.$/);
    for (const name of optionNames(kind.options)) expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/);
  });
});

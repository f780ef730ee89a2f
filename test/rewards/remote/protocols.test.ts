/**
 * The shapes that other servers speak, in both directions. Requests and replies are written down from their sources:
 * vLLM's pooling protocols, OpenRLHF's serve_rm.py, text-embeddings-inference's http/types.rs.
 */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { compileOptions } from "../../../src/base/options.ts";
import type { RewardWorld } from "../../../src/rewards/define.ts";
import { rewardKindNamed } from "../../../src/rewards/index.ts";
import { type Answer, send, sendText, startRewardServer } from "../../support/reward-server.ts";

const world: RewardWorld = {
  reward: () => expect.fail("no reward is asked for"),
  speaker: () => expect.fail("no policy is asked for"),
  clock: systemClock,
};
const never = new AbortController().signal;
const sums = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "2 + 2?" },
];
const capitals = [{ role: "user", content: "Rome?" }];

type Options = Readonly<Record<string, unknown>>;

/** A reward of that kind against a server. */
async function remote(name: string, answer: (body: Options) => Answer, options: Options = {}) {
  const server = await startRewardServer(({ body }) => answer(body as Options)); // what we send is an object
  const kind = rewardKindNamed(name, "reward");
  const given = { url: `${server.url}/route`, ...options };
  const reward = kind.create("mine", compileOptions(kind, "reward")(given), world);
  return {
    asked: () => server.asked.map(({ body }) => body),
    score: (text: string, messages = sums) => reward.open({ messages }, never).score(text),
  };
}

const list = (data: readonly object[]) => ({
  id: "x-1",
  object: "list",
  created: 1,
  model: "m",
  data,
});
const usage = { prompt_tokens: 3, total_tokens: 3, completion_tokens: 0 };

describe("vllm-pooling", () => {
  const pooled = (...data: readonly unknown[]) =>
    send({ ...list(data.map((each, index) => ({ index, object: "pooling", data: each }))), usage });

  test("sends a chat's messages, an answer a call, and wants raw scores", async () => {
    const { score, asked } = await remote("vllm-pooling", () => pooled([-3.25]), { model: "rm" });
    expect(await Promise.all([score("4"), score("5")])).toEqual([-3.25, -3.25]);
    const messages = (content: string) => [...sums, { role: "assistant", content }];
    expect(asked()).toEqual(
      expect.arrayContaining([
        { model: "rm", messages: messages("4"), use_activation: false },
        { model: "rm", messages: messages("5"), use_activation: false },
      ]),
    );
  });

  test("sends many texts a call, of several conversations, and sorts by index", async () => {
    const rows = list([
      { index: 1, object: "pooling", data: [7] },
      { index: 0, object: "pooling", data: [6] },
    ]);
    const { score, asked } = await remote("vllm-pooling", () => send(rows), {
      conversation: "text",
      raw_scores: false,
    });
    expect(await Promise.all([score("4"), score("Yes", capitals)])).toEqual([6, 7]);
    expect(asked()).toEqual([
      {
        input: ["system: Be brief.\nuser: 2 + 2?\nassistant: 4", "user: Rome?\nassistant: Yes"],
        use_activation: true,
      },
    ]);
  });

  test("writes texts by the model's own template", async () => {
    const { score, asked } = await remote("vllm-pooling", () => pooled([1]), {
      conversation: "text",
      template: "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<end>",
    });
    await score("Yes", capitals);
    expect(asked()).toEqual([{ input: ["<user>Rome?<assistant>Yes<end>"], use_activation: false }]);
  });

  test("takes a token-wise model's last row, and of several classes the label's", async () => {
    const steps = await remote("vllm-pooling", () => pooled([[0.1], [0.2], [0.7]]));
    expect(await steps.score("4")).toBe(0.7);
    const classes = await remote("vllm-pooling", () => pooled([0.1, 0.2, 0.7]), { label: 1 });
    expect(await classes.score("4")).toBe(0.2);
  });

  test.each([
    [{}, [0.1, 0.2], /has 2 numbers for a text, and 'label' names none of them/],
    [{ label: 5 }, [0.1, 0.2], /has 2 numbers for a text, and 'label' is 5/],
    [{}, "AACAPw==", /has no list of numbers/],
    [{}, [], /has 0 numbers/],
  ])("with %j refuses %j", async (options, data, message) => {
    const { score } = await remote("vllm-pooling", () => pooled(data), options);
    await expect(score("4")).rejects.toThrow(message);
  });
});

test("vllm-classify reads the class's score among probs", async () => {
  const row = { index: 0, label: "bad", probs: [-1.5, 2.5], num_classes: 2 };
  const { score, asked } = await remote("vllm-classify", () => send({ ...list([row]), usage }), {
    label: 0,
  });
  expect(await score("Yes", capitals)).toBe(-1.5);
  const messages = [...capitals, { role: "assistant", content: "Yes" }];
  expect(asked()).toEqual([{ messages, use_activation: false }]);
});

test("vllm-score sends pairs by position", async () => {
  const rows = [0.25, -4].map((score, index) => ({ index, object: "score", score }));
  const { score, asked } = await remote("vllm-score", () => send({ ...list(rows), usage }));
  expect(await Promise.all([score("4"), score("Yes", capitals)])).toEqual([0.25, -4]);
  expect(asked()).toEqual([
    { text_1: ["Be brief.\n2 + 2?", "Rome?"], text_2: ["4", "Yes"], use_activation: false },
  ]);
});

describe("openrlhf", () => {
  test("sends queries with their prompts, and reads rewards alone or in lists of one", async () => {
    const reply = { rewards: [1.5, [-2]], scores: [9, 9], extra_logs: {} };
    const { score, asked } = await remote("openrlhf", () => send(reply));
    expect(await Promise.all([score("4"), score("Yes", capitals)])).toEqual([1.5, -2]);
    expect(asked()).toEqual([
      {
        query: ["system: Be brief.\nuser: 2 + 2?\nassistant: 4", "user: Rome?\nassistant: Yes"],
        prompts: ["system: Be brief.\nuser: 2 + 2?", "user: Rome?"],
      },
    ]);
  });

  test("with a template opens the answer at the prompt's end", async () => {
    const template =
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
    const { score, asked } = await remote("openrlhf", () => send({ rewards: [1] }), { template });
    await score("Yes", capitals);
    expect(asked()).toEqual([
      { query: ["<user>Rome?<assistant>Yes"], prompts: ["<user>Rome?<assistant>"] },
    ]);
  });
});

describe("tei-predict", () => {
  const classes = [
    { score: 0.5, label: "good" },
    { score: -2, label: "bad" },
  ];

  test("sends each text in a list of its own, and reads the label's score", async () => {
    const { score, asked } = await remote("tei-predict", () => send([classes]), { label: "bad" });
    expect(await score("Yes", capitals)).toBe(-2);
    const inputs = [["user: Rome?\nassistant: Yes"]];
    expect(asked()).toEqual([{ inputs, raw_scores: true, truncate: false }]);
  });

  test("sends pairs for cross-encoders, and needs no label of one class", async () => {
    const one = [[{ score: 3, label: "LABEL_0" }]];
    const { score, asked } = await remote("tei-predict", () => send(one), { pairs: true });
    expect(await score("Yes", capitals)).toBe(3);
    expect(asked()).toEqual([{ inputs: [["Rome?", "Yes"]], raw_scores: true, truncate: false }]);
  });

  test("lists the classes where the label names none or another", async () => {
    const silent = await remote("tei-predict", () => send([classes]));
    await expect(silent.score("4")).rejects.toThrow(/the classes 'good', 'bad', and 'label' names/);
    const other = await remote("tei-predict", () => send([classes]), { label: "so-so" });
    await expect(other.score("4")).rejects.toThrow(/'label' is 'so-so'/);
  });
});

test("tei-rerank asks each question with its answers, and sorts by index", async () => {
  const { score, asked } = await remote("tei-rerank", ({ texts }) => {
    const best = (texts as string[]).map((text, index) => ({ index, score: text.length }));
    return send(best.toSorted((a, b) => b.score - a.score));
  });
  const all = [score("4"), score("Yes", capitals), score("four")];
  expect(await Promise.all(all)).toEqual([1, 3, 4]);
  const fixed = { raw_scores: true, truncate: false, return_text: false };
  expect(asked()).toEqual(
    expect.arrayContaining([
      { query: "Be brief.\n2 + 2?", texts: ["4", "four"], ...fixed },
      { query: "Rome?", texts: ["Yes"], ...fixed },
    ]),
  );
  expect(asked()).toHaveLength(2);
});

describe("of several answers in a call", () => {
  const pair = async (name: string, answer: (body: Options) => Answer, options: Options = {}) => {
    const { score, asked } = await remote(name, answer, options);
    const settled = await Promise.allSettled([score("4"), score("5")]);
    const outcomes = settled.map((each) =>
      each.status === "fulfilled" ? each.value : String(each.reason),
    );
    return { outcomes, asked: asked() };
  };

  test.each([
    ["too few", { rewards: [1] }, /has 1 scores, not one for each of 2 texts/],
    ["too many", { rewards: [1, 2, 3] }, /has 3 scores, not one for each of 2 texts/],
    ["another field", { scores: [1, 2] }, /'rewards' is required/],
    ["no object", [1, 2], /is not of its form: it must be of type object/],
  ])("%s fails them all, since none can be told apart", async (_, reply, message) => {
    const { outcomes } = await pair("openrlhf", () => send(reply));
    for (const outcome of outcomes) {
      expect(outcome).toMatch(message);
      expect(outcome).toMatch(/Check that url is the address of a route that speaks openrlhf/);
    }
  });

  test("a number twice, and another never, fails them all", async () => {
    const { outcomes } = await pair("tei-rerank", () =>
      send([
        { index: 0, score: 1 },
        { index: 0, score: 2 },
      ]),
    );
    for (const outcome of outcomes) expect(outcome).toMatch(/not one for each of 2 texts/);
  });

  test.each([
    ["null", "null"],
    ["NaN", "null"],
    ['"7"', "a string"],
  ])("%s for one is that one's failure", async (written, told) => {
    const { outcomes } = await pair("openrlhf", () => sendText(`{"rewards": [${written}, 2]}`));
    expect(outcomes[0]).toContain(`its score is ${told}, no number`);
    expect(outcomes[1]).toBe(2);
  });

  test.each([400, 413, 422])(
    "one that is refused (%i) does not take the others along",
    async (status) => {
      const { outcomes, asked } = await pair("openrlhf", ({ query }) =>
        String(query).includes("5") ? sendText("too long", status) : send({ rewards: [2] }),
      );
      expect(outcomes[0]).toBe(2);
      expect(outcomes[1]).toContain(`status ${status} (too long)`);
      expect(asked).toHaveLength(3);
    },
  );

  test("one that no template renders does not take the others along", async () => {
    const { score } = await remote("openrlhf", () => send({ rewards: [2] }));
    const { score: templated } = await remote("openrlhf", () => send({ rewards: [2] }), {
      template: "{% for m in messages %}{{ m.content }}{% endfor %}",
    });
    const odd = [{ role: "wizard", content: "?" }];
    const outcomes = await Promise.allSettled([templated("4", odd), templated("5")]);
    expect(outcomes.map(({ status: outcome }) => outcome)).toEqual(["rejected", "fulfilled"]);
    expect(await score("4", odd)).toBe(2);
  });
});

test("answers beyond those that may wait fail at once", async () => {
  const { score } = await remote("openrlhf", () => send({ rewards: [1] }), { waiting_max: 1 });
  const [first, second] = [score("4"), score("5")];
  await expect(second).rejects.toThrow(/1 texts wait for it already\. Raise max_concurrent/);
  expect(await first).toBe(1);
});

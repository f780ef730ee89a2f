/** Judges behind OpenAI's API, and judges that are policies of this server. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { compileOptions } from "../../../src/base/options.ts";
import { createSpeaker } from "../../../src/registry/speaker.ts";
import type { Policy } from "../../../src/registry/types.ts";
import {
  type ComparisonSession,
  isPairwiseReward,
  type RewardFlag,
  type RewardWorld,
} from "../../../src/rewards/define.ts";
import { rewardKindNamed } from "../../../src/rewards/index.ts";
import { type Answer, hang, send, startRewardServer } from "../../support/reward-server.ts";
import { type Law, tabularGenerator } from "../../support/tabular-generator.ts";
import { end, tabularPolicy, tokenizer } from "../../support/tabular-policy.ts";

type Options = Readonly<Record<string, unknown>>;

const never = new AbortController().signal;
const messages = [{ role: "user", content: "2 + 2?" }];

function make(name: string, options: Options, policy?: Policy) {
  const world: RewardWorld = {
    reward: () => expect.fail("no reward is asked for"),
    speaker: () => createSpeaker(policy!),
    clock: systemClock,
  };
  const kind = rewardKindNamed(name, "reward");
  return kind.create("mine", compileOptions(kind, "reward")(options), world);
}

/** The body of a call to /v1/chat/completions, as far as tests look at it. */
interface ChatBody {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly seed: number;
}

const completion = (content: string | null): Answer =>
  send({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "judge",
    choices: [
      { index: 0, message: { role: "assistant", content, refusal: null }, finish_reason: "stop" },
    ],
    usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 },
  });

/** A judge behind a server that replies so to each call. */
async function remoteJudge(
  name: string,
  reply: (body: ChatBody, at: number) => Answer,
  options: Options = {},
) {
  const server = await startRewardServer(({ body }, at) => reply(body as ChatBody, at)); // as we send it
  const url = `${server.url}/v1/chat/completions`;
  const reward = make(name, { url, ...options });
  const flags: RewardFlag[] = [];
  const session = reward.open({ messages }, never);
  return {
    reward,
    url,
    server,
    bodies: () => server.asked.map(({ body }) => body as ChatBody),
    score: (text: string) => session.score(text, { onFlag: (flag) => flags.push(flag) }),
    compare: (a: string, b: string) =>
      (session as ComparisonSession).compare(a, b, { onFlag: (flag) => flags.push(flag) }), // of pairwise judges
    flags,
  };
}

/** A policy that says these letters with these probabilities, and ends. */
const saying = (letters: Readonly<Record<string, number>>) => {
  const first = new Map(Object.entries(letters).map(([letter, p]) => [tokenizer.idOf(letter)!, p]));
  const law: Law = (history) => (history.length === 0 ? first : new Map([[end, 1]]));
  const { vocabSize } = tokenizer;
  return tabularPolicy({ generator: tabularGenerator({ law, vocabSize, contextTokens: 4_096 }) });
};

describe("a judge behind OpenAI's API", () => {
  test.each([
    [{ prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 }, [3]],
    [{ prompt_tokens: 9 }, []],
    [null, []],
    [undefined, []],
  ])("tells the tokens that its usage %j says", async (usage, told) => {
    const choices = [{ message: { content: "[[9]]" } }];
    const { reward } = await remoteJudge("judge", () => send({ choices, usage }));
    const heard: number[] = [];
    const session = reward.open({ messages }, never);
    expect(await session.score("Four.", { onTokens: (n) => heard.push(n) })).toBe(9);
    expect(heard).toEqual(told);
  });

  test("is asked by OpenAI's fields, and its rating is the reward", async () => {
    const { score, bodies, server } = await remoteJudge(
      "judge",
      () => completion("Right. Rating: [[9]]"),
      { model: "big", max_tokens: 99 },
    );
    expect(await score("Four.")).toBe(9);
    expect(server.asked[0]!.path).toBe("/v1/chat/completions");
    const [{ messages: asked, ...fields }] = bodies() as [ChatBody];
    expect(fields).toEqual({
      model: "big",
      max_tokens: 99,
      temperature: 0,
      seed: expect.any(Number),
    });
    expect(asked).toHaveLength(1);
    expect(asked[0]!.content).toMatch(
      /<<<conversation (\w{12})\nuser: 2 \+ 2\?\nconversation \1>>>\n\n<<<answer (\w{12})\nFour\.\nanswer \2>>>/,
    );
    expect(asked[0]!.content).toMatch(/"Rating: \[\[n\]\]", n a number from 1 to 10/);
  });

  test("takes fields of its own, in place of ours, or without them", async () => {
    const extra = { max_tokens: null, temperature: null, max_completion_tokens: 50, seed: 3 };
    const { score, bodies } = await remoteJudge("judge", () => completion("[[2]]"), { extra });
    await score("Four.");
    expect(Object.keys(bodies()[0]!).toSorted()).toEqual([
      "max_completion_tokens",
      "messages",
      "seed",
    ]);
    expect(bodies()[0]!.seed).toBe(3);
  });

  test("is asked by a prompt of one's own", async () => {
    const prompt = "From {min} to {max}, is {answer} kind? {reply} {odd}";
    const given = { prompt, reply: "number", min: 0, max: 1 };
    const { score, bodies } = await remoteJudge("judge", () => completion("0.25"), given);
    expect(await score("{reply}")).toBe(0.25);
    expect(bodies()[0]!.messages[0]!.content).toMatch(
      /^From 0 to 1, is <<<answer \w+\n\{reply\}\nanswer \w+>>> kind\? Reply with a number from 0 to 1 and nothing else\. \{odd\}$/,
    );
  });

  test("gives the mean of several replies, each by a seed of its own, the same ones every time", async () => {
    const given = { samples: 4, temperature: 1 };
    const { score, bodies } = await remoteJudge(
      "judge",
      (_, at) => completion(`[[${[1, 2, 4, 8][at % 4]}]]`),
      given,
    );
    expect(await score("Four.")).toBe(15 / 4);
    expect(await score("Four.")).toBe(15 / 4);
    const seeds = bodies().map(({ seed }) => seed);
    expect(new Set(seeds).size).toBe(4);
    expect(new Set(seeds.slice(4))).toEqual(new Set(seeds.slice(0, 4)));
  });

  test("is left when the client leaves", async () => {
    const client = new AbortController();
    const server = await startRewardServer(() => {
      client.abort("left");
      return hang;
    });
    const session = make("judge", { url: server.url, timeout_ms: 240_000 }).open(
      { messages },
      client.signal,
    );
    await expect(session.score("Four.")).rejects.toBe("left");
    await server.abandoned;
  });

  test("that is none is told with its address", async () => {
    const { score, url } = await remoteJudge("judge", () => send({ rewards: [1] }));
    await expect(score("Four.")).rejects.toThrow(
      `${url}: its reply is not of its form: 'choices' is required. Check that url is the address of a /v1/chat`,
    );
  });
});

describe("an unclear reply", () => {
  test("is an error by default, which says what was replied", async () => {
    const { score, server, flags } = await remoteJudge("judge", () => completion("I like it!"));
    await expect(score("Four.")).rejects.toMatchObject({
      code: "judge_unclear",
      message: expect.stringMatching(/gave no rating from 1 to 10 in its reply \("I like it!"\)/),
    });
    expect(server.asked).toHaveLength(1);
    expect(flags).toEqual([]);
  });

  test("may be a refusal, which has no text", async () => {
    const { score } = await remoteJudge("judge", () => completion(null));
    await expect(score("Four.")).rejects.toThrow(/reply \(which has no text\)/);
  });

  test("of one of several replies is no smaller mean", async () => {
    const { score } = await remoteJudge("judge", (_, at) => completion(at === 1 ? "?" : "[[8]]"), {
      samples: 3,
      temperature: 1,
    });
    await expect(score("Four.")).rejects.toThrow(/no rating/);
  });

  test("with next-best is asked again by another seed, and flagged", async () => {
    const { score, bodies, flags } = await remoteJudge(
      "judge",
      (_, at) => completion(at < 2 ? "?" : "[[8]]"),
      { unparsable: "next-best", temperature: 1 },
    );
    expect(await score("Four.")).toBe(8);
    expect(new Set(bodies().map(({ seed }) => seed)).size).toBe(3);
    expect(flags).toEqual(["asked-again"]);
  });

  test("with next-best is an error after so many attempts", async () => {
    const { score, server } = await remoteJudge("judge", () => completion("?"), {
      unparsable: "next-best",
      temperature: 1,
      attempts: 4,
    });
    await expect(score("Four.")).rejects.toThrow(/no rating/);
    expect(server.asked).toHaveLength(4);
  });

  test("with mean-logprob is the answer's likelihood by the judge, and flagged", async () => {
    // first a .4, then b .5, then the end .4: the table of tabular-policy.ts, which never gives a rating
    const policy = tabularPolicy({ contextTokens: 4_096 });
    const judge = make("judge", { policy: "table", unparsable: "mean-logprob" }, policy);
    const flags: RewardFlag[] = [];
    const score = await judge
      .open({ messages }, never)
      .score("ab", { onFlag: (flag) => flags.push(flag) });
    expect(score).toBeCloseTo(Math.log(0.4 * 0.5 * 0.4) / 3, 6);
    expect(flags).toEqual(["mean-logprob"]);
  });
});

describe("a policy as the judge", () => {
  const numbers = { policy: "table", reply: "number" };

  test("rates by what it says", async () => {
    const judge = make("judge", numbers, saying({ 7: 1 }));
    expect(await judge.open({ messages }, never).score("Four.")).toBe(7);
  });

  test("gives a mean between its ratings, the same whenever it is asked", async () => {
    const given = { ...numbers, samples: 16, temperature: 1 };
    const session = make("judge", given, saying({ 6: 0.5, 8: 0.5 })).open({ messages }, never);
    const score = await session.score("Four.");
    expect(score).toBeGreaterThan(6);
    expect(score).toBeLessThan(8);
    expect(await session.score("Four.")).toBe(score);
  });

  test("has its revision in the reward's", () => {
    const of = (revision: string) => {
      const generator = tabularGenerator({ law: () => new Map(), vocabSize: 9, revision });
      return make("judge", numbers, tabularPolicy({ generator })).revision;
    };
    expect(of("one")).toBe(of("one"));
    expect(of("one")).not.toBe(of("two"));
  });
});

describe("options are refused", () => {
  test.each([
    [{}, /'policy'.*or else 'url'/],
    [{ policy: "p", url: "http://localhost" }, /'policy'/],
    [{ policy: "p", samples: 2 }, /'temperature'.*above 0/],
    [{ policy: "p", unparsable: "next-best" }, /'temperature'.*above 0/],
    [{ policy: "p", prompt: "How good?" }, /'prompt'.*\{answer\}/],
    [{ policy: "p", min: 5, max: 5 }, /'min'.*below 'max'/],
    [{ url: "http://localhost", unparsable: "mean-logprob" }, /'unparsable'.*'policy'/],
    [{ policy: "p", unparsable: "mean-logprob", min: -1 }, /'min'.*0 or more/],
  ])("%j", (options, message) => {
    expect(() => make("judge", options, saying({ 7: 1 }))).toThrow(message);
  });
});

/** The answers of a pairwise judge's question, in its order. */
function answersIn({ messages: [question] }: ChatBody): [string, string] {
  const [a, b] = question!.content.matchAll(/<<<answer [AB] \w+\n(.*)\n/g);
  return [a![1]!, b![1]!];
}

describe("a pairwise judge", () => {
  const longer = (body: ChatBody) => {
    const [a, b] = answersIn(body).map(({ length }) => length) as [number, number];
    return completion(a === b ? "[[C]]" : a > b ? "[[A]]" : "[[B]]");
  };

  test("says how many tokens its judge wrote, in all its replies", async () => {
    const { reward } = await remoteJudge("pairwise-judge", longer, { samples: 2, temperature: 1 });
    const session = reward.open({ messages }, never) as ComparisonSession; // a pairwise judge's
    const heard: number[] = [];
    await session.compare("longer", "short", { onTokens: (tokens) => heard.push(tokens) });
    expect(heard).toEqual([3, 3, 3, 3]); // two samples in two orders, by the server's `usage`
  });

  test("says in both orders which answer is better", async () => {
    const { compare, bodies, reward } = await remoteJudge("pairwise-judge", longer);
    expect(isPairwiseReward(reward)).toBe(true);
    expect(await compare("longer", "short")).toBe(1);
    expect(bodies().map(answersIn)).toEqual(
      expect.arrayContaining([
        ["longer", "short"],
        ["short", "longer"],
      ]),
    );
    expect(await compare("short", "longer")).toBe(0);
    expect(await compare("same!", "size!")).toBe(0.5);
  });

  test("that prefers whichever stands first sees a tie", async () => {
    const { compare } = await remoteJudge("pairwise-judge", () => completion("[[A]]"));
    expect(await compare("one", "other")).toBe(0.5);
  });

  test("that prefers one in one order only sees a tie", async () => {
    const { compare } = await remoteJudge("pairwise-judge", (body) =>
      completion(answersIn(body)[0] === "one" ? "[[A]]" : "[[C]]"),
    );
    expect(await compare("one", "other")).toBe(0.5);
  });

  test("gives the mean of several comparisons", async () => {
    const { compare } = await remoteJudge(
      "pairwise-judge",
      (body) =>
        completion(
          isFirstSeed(body.seed) ? "[[C]]" : answersIn(body)[0] === "one" ? "[[A]]" : "[[B]]",
        ),
      { samples: 4, temperature: 1 },
    );
    let first: number | null = null;
    function isFirstSeed(seed: number) {
      first ??= seed;
      return seed === first;
    }
    expect(await compare("one", "other")).toBe((1 + 1 + 1 + 0.5) / 4);
  });

  test("scores an answer by its reference: win 1, tie ½, loss 0", async () => {
    const { score } = await remoteJudge("pairwise-judge", longer, { reference: "middle" });
    expect(await score("a longer one")).toBe(1);
    expect(await score("centre")).toBe(0.5);
    expect(await score("short")).toBe(0);
  });

  test("without a reference scores no answer alone", async () => {
    const { score, server } = await remoteJudge("pairwise-judge", longer);
    await expect(score("Four.")).rejects.toMatchObject({
      code: "reward_compares_only",
      message: expect.stringMatching(/'reference'/),
    });
    expect(server.asked).toHaveLength(0);
  });

  test("that is unclear sees no tie, but fails or is asked again, and flagged", async () => {
    const unclear = await remoteJudge("pairwise-judge", () => completion("Hm."));
    await expect(unclear.compare("one", "other")).rejects.toThrow(/no verdict \[\[A\]\].*"Hm\."/);
    const again = await remoteJudge(
      "pairwise-judge",
      (body, at) => (at < 2 ? completion("Hm.") : longer(body)),
      { unparsable: "next-best", temperature: 1 },
    );
    expect(await again.compare("longer", "short")).toBe(1);
    expect(new Set(again.flags)).toEqual(new Set(["asked-again"]));
  });

  test("is told of a prompt that lacks an answer", () => {
    const given = { policy: "p", prompt: "{answer_a}?" };
    expect(() => make("pairwise-judge", given, saying({ 7: 1 }))).toThrow(/\{answer_b\}/);
  });
});

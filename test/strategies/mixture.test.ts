import { describe, expect, test } from "vitest";
import { GatewayError } from "../../src/base/errors.ts";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { mixture, sharesOf } from "../../src/strategies/mixture.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { type Law, tabularGenerator } from "../support/tabular-generator.ts";
import { end, tabularPolicy, tokenizer } from "../support/tabular-policy.ts";
import { argmax, certainly, chiSquare, distinct, draws, listTexts, observe } from "./laws.ts";
import { finish, serving } from "./support.ts";

const c = tokenizer.idOf("c")!;
/** Says c until it ends. */
const onlyC: Law = () => new Map([[c, 0.5], [end, 0.5]]); // biome-ignore format: one row
const other = tabularPolicy({
  id: "other",
  generator: tabularGenerator({ law: onlyC, vocabSize: tokenizer.vocabSize, revision: "c-1" }),
});
const models = serving(other);

describe("shares", () => {
  test.each([
    [[1, 1, 1], 16, [6, 5, 5]],
    [[1, 1, 1], 17, [6, 6, 5]],
    [[3, 1], 4, [3, 1]],
    [[0.7, 0.2, 0.1], 10, [7, 2, 1]],
    [[5], 7, [7]],
    [[100, 1], 4, [4, 0]],
  ])("of weights %j among %i are %j", (weights, n, shares) => {
    expect(sharesOf(weights, n)).toEqual(shares);
  });
});

describe("mixture", () => {
  test("draws each member's share from the member, and says whose each is", async () => {
    const options = { n: 8, members: [{ weight: 3 }, { model: "other" }] };
    const { result } = await finish(mixture, { reward: cannedReward(distinct), options, models });
    const sources = result.candidates.map(({ source }) => source?.model ?? "own");
    expect(sources).toEqual([...Array(6).fill("own"), "other", "other"]);
    for (const { source, text } of result.candidates.slice(6)) {
      expect(text).toMatch(/^c*$/);
      expect(source).toEqual({
        model: "other",
        revision: "c-1",
        prompt: other.encode({ kind: "text", text: "?" }),
        tokenText: other.tokenText,
      });
    }
    expect(result.kl).toEqual({ bound: null, estimate: null });
  });

  test("says with the answer's text whose tokens it brings", async () => {
    const options = { n: 2, members: [{ model: "other" }] };
    const run = { reward: cannedReward(distinct), options, models };
    const { events } = await finish(mixture, run);
    const said = events.find((event) => event.type === "text-delta")!;
    expect(said.source).toMatchObject({ model: "other", tokenText: other.tokenText });
  });

  test("has the law of the best of one candidate a member", async () => {
    const cold = 0.5;
    const options = { n: 2, members: [{}, { temperature: cold }] };
    const observed = await observe(mixture, {
      reward: cannedReward(distinct),
      options,
      sampling: { maxTokens: 1 },
    });
    const listed = listTexts(1);
    const sharp = listed.map(({ probability }) => probability ** (1 / cold));
    const total = sharp.reduce((sum, p) => sum + p, 0);
    const law = new Map(listed.map(({ text }) => [text, 0]));
    for (const one of listed) {
      for (const [i, two] of listed.entries()) {
        const pair = [one, two];
        const chances = certainly(pair, argmax(pair.map(({ text }) => distinct(text))));
        const p = (one.probability * sharp[i]!) / total;
        for (const [at, { text }] of pair.entries()) {
          law.set(text, law.get(text)! + p * chances[at]!);
        }
      }
    }
    expect(chiSquare(observed, law, draws)).toBeLessThan(16.27); // 3 degrees of freedom, p = 0.001
  });

  test("is best-of-n with one member that changes nothing", async () => {
    const run = { reward: cannedReward(distinct) };
    const one = await finish(mixture, { ...run, options: { members: [{}] } });
    const plain = await finish(bestOfN, run);
    expect(one.result.candidates).toEqual(plain.result.candidates);
    expect(one.result.chosen).toEqual(plain.result.chosen);
  });

  test("measures how different the candidates are", async () => {
    const greedy = { n: 4, members: [{ temperature: 0 }] };
    const run = { reward: cannedReward(distinct), options: greedy };
    expect((await finish(mixture, run)).result.details).toEqual({ distinct: 0.25, distance: 0 });
  });

  test("refuses a member that is not served, or that would draw nothing", async () => {
    const reward = cannedReward(distinct);
    const unknown = { members: [{}, { model: "nobody" }] };
    await expect(finish(mixture, { reward, options: unknown })).rejects.toThrow(/'nobody'/);
    const idle = { n: 4, members: [{ weight: 100 }, {}] };
    await expect(finish(mixture, { reward, options: idle })).rejects.toMatchObject({
      param: "alignment.members",
    });
    await expect(finish(mixture, { reward, options: { members: [] } })).rejects.toBeInstanceOf(
      GatewayError,
    );
    expect(reward.openSessions()).toBe(0);
  });

  test("ends all members when one fails", async () => {
    const broken = {
      ...other,
      generate: () => Promise.reject(new GatewayError("engine_failed", { problem: "it broke" })),
    };
    const reward = cannedReward(distinct);
    const run = { reward, models: serving(broken), options: { members: [{}, { model: "other" }] } };
    await expect(finish(mixture, run)).rejects.toThrow("it broke");
    expect(reward.openSessions()).toBe(0);
  });
});

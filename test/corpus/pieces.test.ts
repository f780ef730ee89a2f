/** Where replies go wrong, against the flaws they were made with and the gold reward. */
import { expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import {
  type Claim,
  type CorpusReply,
  careless,
  claimsOf,
  type Domain,
  domains,
  flawless,
  goldReward,
  makePrompt,
  makeReply,
} from "../../src/corpus/index.ts";

const factFlaws = new Set(["wrong-name", "wrong-order", "wrong-product", "wrong-remedy"]);
const slips = new Set([
  "off-by-one",
  "off-by-ten",
  "wild-result",
  "wrong-operation",
  "miscopied-number",
]);

const mistakesIn = (reply: CorpusReply): Claim[] =>
  claimsOf(reply).filter(({ wrongFrom }) => wrongFrom !== null);

function* replies(domain: Domain, count: number, mixture?: typeof flawless) {
  const random = createRandom(5);
  for (let i = 0; i < count; i++) {
    const prompt = makePrompt(domain, random);
    yield { prompt, reply: makeReply(prompt, random, mixture) };
  }
}

test.each(domains)("%s: the pieces are the text, and a flawless reply has no mistake", (domain) => {
  for (const { reply } of replies(domain, 500)) {
    expect(reply.pieces.map(({ text }) => text).join("")).toBe(reply.text);
  }
  for (const { prompt, reply } of replies(domain, 500, flawless)) {
    expect(mistakesIn(reply)).toEqual([]);
    expect(goldReward(prompt, reply.text).correct).toBe(true);
  }
});

test("support: as many mistakes as wrong facts, or one more where the remedy repeats the product", () => {
  for (const { reply } of replies("support", 1_000)) {
    const wrong = reply.flaws.filter((flaw) => factFlaws.has(flaw)).length;
    const isRepeated =
      reply.flaws.includes("wrong-product") && !reply.flaws.includes("wrong-remedy");
    const found = mistakesIn(reply).length;
    if (isRepeated) expect([wrong, wrong + 1]).toContain(found);
    else expect(found).toBe(wrong);
  }
});

test("arithmetic: a slip is seen in its own line only, and up to there gold finds nothing wrong", () => {
  for (const { prompt, reply } of replies("arithmetic", 1_000)) {
    const mistakes = mistakesIn(reply);
    expect(mistakes.length > 0).toBe(reply.flaws.some((flaw) => slips.has(flaw)));
    if (mistakes.length === 0) continue;
    const lineOf = (at: number) => reply.text.slice(0, at).split("\n").length - 1;
    expect(new Set(mistakes.map(({ start }) => lineOf(start))).size).toBe(1);
    const line = lineOf(mistakes[0]!.start);
    const before = reply.text.split("\n").slice(0, line);
    const { facts } = prompt;
    const steps = facts.domain === "arithmetic" ? facts.steps.length : 0;
    if (line > 0) expect(goldReward(prompt, before.join("\n")).parts["steps"]).toBe(line / steps);
    const upTo = [...before, reply.text.split("\n")[line]!].join("\n");
    expect(goldReward(prompt, upTo).parts["steps"]).toBeLessThan((line + 1) / steps);
  }
});

test("arithmetic with a slip in many steps: each number is judged by what is written before it", () => {
  let wrong = 0;
  for (const { reply } of replies("arithmetic", 1_000, careless)) {
    const mistakes = mistakesIn(reply);
    // A line can have no more than one slip, which shows in one number or sign.
    expect(mistakes).toHaveLength(reply.flaws.length);
    wrong += mistakes.length;
    for (const line of reply.text.split("\n").slice(0, -1)) {
      const [, left, sign, right, result] = /(\d+) ([+*-]) (\d+) = (\d+)\.$/.exec(line)!;
      const [a, b] = [Number(left), Number(right)];
      const isRight = Number(result) === { "+": a + b, "-": a - b, "*": a * b }[sign!];
      const start = reply.text.indexOf(line) + line.lastIndexOf(" ") + 1;
      const claim = claimsOf(reply).find((each) => each.start === start);
      expect(claim?.wrongFrom === null).toBe(isRight);
    }
  }
  expect(wrong).toBeGreaterThan(1_000);
});

test("a claim is wrong from its first character that differs, or its last when it stops too soon", () => {
  const reply: CorpusReply = {
    text: "#8527 for 1 and 99",
    flaws: [],
    pieces: [
      { text: "#", truth: null },
      { text: "8527", truth: "8537" },
      { text: " for ", truth: null },
      { text: "1", truth: "12" },
      { text: " and ", truth: null },
      { text: "99", truth: "99" },
    ],
  };
  expect(claimsOf(reply)).toEqual([
    { start: 1, end: 5, truth: "8537", wrongFrom: 3 },
    { start: 10, end: 11, truth: "12", wrongFrom: 10 },
    { start: 16, end: 18, truth: "99", wrongFrom: null },
  ]);
});

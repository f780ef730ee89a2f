import { expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import {
  arithmeticFlaws,
  type CorpusPrompt,
  domains,
  makePrompt,
  makeReply,
  prompts,
  type Remedy,
  sftExamples,
  sftMixture,
  split,
  supportFlaws,
} from "../../src/corpus/index.ts";

const contentOf = (prompt: CorpusPrompt) => prompt.messages[0]!.content;

function take<T>(source: Iterator<T>, n: number): T[] {
  return Array.from({ length: n }, () => source.next().value as T); // the corpus' streams never end
}

test("the same seed gives the same prompts and demonstrations, another seed others", () => {
  const texts = (seed: number) => JSON.stringify(take(sftExamples(seed), 200));
  expect(texts(5)).toBe(texts(5));
  expect(texts(5)).not.toBe(texts(6));
});

test("the corpus is the same on every machine and in every release", () => {
  const [first] = take(prompts("support", "heldout", 1), 1);
  const [second] = take(prompts("arithmetic", "train", 1), 1);
  expect([first!.id, second!.id]).toMatchInlineSnapshot(`
    [
      "support-6639e76445e7",
      "arithmetic-37f08a14bd9a",
    ]
  `);
});

test.each(domains)(
  "the two sides of %s never share a prompt, and held-out has thousands",
  (domain) => {
    const train = new Set(take(prompts(domain, "train", 1), 20_000).map(contentOf));
    const heldout = take(prompts(domain, "heldout", 2), 6_000).map(contentOf);
    expect(heldout.filter((content) => train.has(content))).toEqual([]);
    expect(new Set(heldout).size).toBeGreaterThan(5_000);
    expect(heldout.every((content) => split(content) === "heldout")).toBe(true);
  },
);

test("one prompt in ten is held out", () => {
  const random = createRandom(3);
  const n = 20_000;
  const held = Array.from({ length: n }, () => contentOf(makePrompt("support", random)))
    .map(split)
    .filter((side) => side === "heldout").length;
  expectRate(held, n, 0.1);
});

test("demonstrations come from the train side, half of each domain unless told otherwise", () => {
  const n = 4_000;
  const arithmetic = take(sftExamples(7, sftMixture, 0.75), n);
  expectRate(arithmetic.filter(({ prompt }) => prompt.domain === "arithmetic").length, n, 0.75);
  const examples = take(sftExamples(7), n);
  expect(examples.every(({ prompt }) => split(contentOf(prompt)) === "train")).toBe(true);
  expectRate(examples.filter(({ prompt }) => prompt.domain === "support").length, n, 0.5);
});

test("a customer's message names the customer once, the order and the product, and fits its remedy", () => {
  for (const prompt of take(prompts("support", "train", 4), 2_000)) {
    const { facts } = prompt;
    if (facts.domain !== "support") throw new Error("not a support prompt");
    const content = contentOf(prompt);
    expect(content.split(facts.name)).toHaveLength(2);
    expect(content.match(/#\d+/g)).toEqual([`#${facts.order}`]);
    expect(content).toContain(facts.product);
    expect(remedyByHand(content), content).toBe(facts.remedy);
    expect(content).not.toMatch(/[{}]/);
  }
});

/** The policy read from the message's own words: an independent second implementation. */
function remedyByHand(content: string): Remedy {
  const days = Number(/(\d+) days/.exec(content)?.[1] ?? Number.NaN);
  if (/return|send back|give it back/.test(content)) return days > 30 ? "decline" : "label";
  if (/days/.test(content)) return days > 10 ? "reship" : "tracking";
  if (/twice|two payments|two times/.test(content)) return "refund";
  if (/cancel|changed my mind|Can I stop/.test(content)) return "cancel";
  if (/missing|without the|could not find|There is no/.test(content)) return "part";
  if (/chose|instead of|should be|asked for/.test(content)) return "exchange";
  return "replacement";
}

test("a word problem holds exactly the numbers that its steps use, and the steps compute", () => {
  for (const prompt of take(prompts("arithmetic", "train", 5), 2_000)) {
    const { facts } = prompt;
    if (facts.domain !== "arithmetic") throw new Error("not an arithmetic prompt");
    const given = new Set(contentOf(prompt).match(/\d+/g)?.map(Number));
    const operands = facts.steps.flatMap((step) => [step.left, step.right]);
    const used = operands.filter((o) => o.step === null).map((o) => o.value);
    expect(new Set(used)).toEqual(given);
    for (const { left, operation, right, result } of facts.steps) {
      expect(
        {
          "+": left.value + right.value,
          "-": left.value - right.value,
          "*": left.value * right.value,
        }[operation],
      ).toBe(result);
      for (const operand of [left, right]) {
        if (operand.step !== null) expect(facts.steps[operand.step]!.result).toBe(operand.value);
      }
      expect(result).toBeGreaterThan(1);
      expect(result).toBeLessThan(61);
    }
    expect(facts.steps.at(-1)!.result).toBe(facts.answer);
    expect(contentOf(prompt)).not.toMatch(/[{}]/);
  }
});

test("no text says 'a' before a vowel or 'an' before a consonant, doubles a word or a space", () => {
  for (const { prompt, reply } of take(sftExamples(8), 3_000)) {
    for (const text of [contentOf(prompt), reply.text]) {
      expect(text).not.toMatch(/\ba [aeiou](?!ne\b)/i);
      expect(text).not.toMatch(/\ban [^aeiouh]/i);
      expect(text).not.toMatch(/\b([a-z]+) \1\b| {2}|^\s|\s$/i);
    }
  }
});

test("flaws come at the stated rates", () => {
  const n = 20_000;
  const random = createRandom(9);
  for (const domain of domains) {
    const flaws = Array.from(
      { length: n },
      () => makeReply(makePrompt(domain, random), random).flaws,
    ).flat();
    const stated: Record<string, number> = sftMixture[domain];
    for (const flaw of domain === "support" ? supportFlaws : arithmeticFlaws) {
      expectRate(flaws.filter((found) => found === flaw).length, n, stated[flaw]!);
    }
    if (domain === "arithmetic") expectRate(n - flaws.length, n, 0.58);
  }
});

test("a prompt gets many different replies", () => {
  const random = createRandom(10);
  for (const domain of domains) {
    const prompt = makePrompt(domain, random);
    const replies = Array.from({ length: 64 }, () => makeReply(prompt, random).text);
    expect(new Set(replies).size).toBeGreaterThan(domain === "support" ? 60 : 8);
  }
});

/** Within four standard deviations of a binomial count. */
function expectRate(count: number, n: number, rate: number): void {
  expect(Math.abs(count - n * rate)).toBeLessThan(4 * Math.sqrt(n * rate * (1 - rate)));
}

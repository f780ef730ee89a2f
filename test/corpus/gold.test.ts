import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import {
  arithmeticFlaws,
  bestGold,
  type CorpusPrompt,
  domains,
  flawless,
  goldReward,
  type Mixture,
  makePrompt,
  makeReply,
  supportFlaws,
} from "../../src/corpus/index.ts";
import { names } from "../../src/corpus/names.ts";
import { greetings, phrases, remedyPhrases } from "../../src/corpus/support/phrases.ts";
import { readReply } from "../../src/corpus/support/read.ts";

test.each(domains)("a flawless %s reply is correct and gets the highest reward", (domain) => {
  const random = createRandom(1);
  for (let i = 0; i < 2000; i++) {
    const prompt = makePrompt(domain, random);
    const reply = makeReply(prompt, random, flawless);
    expect(reply.flaws).toEqual([]);
    const gold = goldReward(prompt, reply.text);
    expect([gold.total, gold.correct, reply.text]).toEqual([bestGold[domain], true, reply.text]);
  }
});

test.each([...supportFlaws, ...arithmeticFlaws])("the flaw %s alone lowers the reward", (flaw) => {
  const domain = supportFlaws.some((known) => known === flaw) ? "support" : "arithmetic";
  const mixture: Mixture = { ...flawless, [domain]: { ...flawless[domain], [flaw]: 1 } };
  const random = createRandom(2);
  for (let i = 0; i < 500; i++) {
    const prompt = makePrompt(domain, random);
    const { text } = makeReply(prompt, random, mixture);
    expect(goldReward(prompt, text).total, text).toBeLessThanOrEqual(bestGold[domain] - 0.5);
  }
});

const kettle: CorpusPrompt = {
  id: "support-0",
  domain: "support",
  messages: [
    { role: "user", content: "Hi, this is Emma. My kettle from order #4821 arrived broken." },
  ],
  facts: {
    domain: "support",
    name: "Emma",
    order: "4821",
    product: "kettle",
    problem: "damaged",
    remedy: "replacement",
  },
};
const greeting = "Hi Emma,";
const found = "I have found your kettle in order #4821.";
const remedy = "We are sending you a free replacement today.";
const wish = "Have a lovely day!";
const best = [greeting, found, remedy, wish].join(" ");
const supportGold = (...sentences: string[]) => goldReward(kettle, sentences.join(" ")).total;

test("support parts are worth what the scale says", () => {
  const parts = (...sentences: string[]) => goldReward(kettle, sentences.join(" ")).parts;
  expect(parts(best)).toEqual({
    remedy: 1,
    name: 0.5,
    order: 0.5,
    product: 0.5,
    tone: 0.5,
    length: 0.5,
    form: 0,
  });
  expect(parts(greeting, found, wish)).toMatchObject({ remedy: -0.5, length: -0.5 });
  expect(parts("Hi Nora,", "I have found your tent in order #4822.", remedy)).toMatchObject({
    name: -0.5,
    order: -0.5,
    product: -0.5,
  });
  expect(parts(remedy)).toEqual({
    remedy: 1,
    name: 0,
    order: 0,
    product: 0,
    tone: 0,
    length: 0.5,
    form: 0,
  });
  expect(parts(best, "Do not bother us again.")).toMatchObject({ tone: -0.5, length: 0 });
  expect(parts(best, "We like you.", "So much.")).toMatchObject({ length: -0.5, form: -0.5 });
});

test("no trick beats the honest best reply", () => {
  const all = Object.values(remedyPhrases).map((list) => list[0]!);
  const tricks = [
    [best, best],
    [best, "We have refunded the second payment to your card."],
    [greeting, found, ...all, wish],
    [best, "Hello Emma, Dear Emma,"],
    [best, wish, wish, wish],
    [best, "I am sorry, sorry, sorry."],
    ["Emma kettle 4821 replacement refund thank you."],
    ["Emma", "kettle", "#4821", "free replacement", "thank you", "lovely day"],
    [best, names.join(", ")],
    [best, "#4821 #4822 #4823"],
    [best, "kettle, teapot, toaster"],
    [...Object.values(greetings.polite), found, remedy, wish],
    [best.replaceAll(" ", "")],
    [best.toUpperCase()],
  ];
  for (const trick of tricks) {
    expect(supportGold(...trick), trick.join(" ")).toBeLessThanOrEqual(supportGold(best) - 0.5);
  }
  expect(supportGold(...all)).toBeLessThan(0);
});

const pencils: CorpusPrompt = {
  id: "arithmetic-0",
  domain: "arithmetic",
  messages: [{ role: "user", content: "Mia has 3 boxes with 4 pencils in each and gives away 5." }],
  facts: {
    domain: "arithmetic",
    steps: [
      { label: "In all", ...operands(3, 4), operation: "*", result: 12 },
      {
        label: "Left",
        left: { value: 12, step: 0 },
        operation: "-",
        right: { value: 5, step: null },
        result: 7,
      },
    ],
    answer: 7,
  },
};

function operands(left: number, right: number) {
  return { left: { value: left, step: null }, right: { value: right, step: null } };
}

test.each([
  // text, answer, steps, form, correct
  ["In all: 3 * 4 = 12.\nLeft: 12 - 5 = 7.\nAnswer: 7", 1, 1, 0, true],
  ["3 * 4 = 12.\n12 - 5 = 7.\nAnswer: 7", 1, 1, 0, true],
  ["4 * 3 = 12.\n12 - 5 = 7.\nAnswer: 7", 1, 1, 0, true],
  ["3 * 4 = 13.\n13 - 5 = 8.\nAnswer: 8", -1, -0.5, 0, false], // −1 and 0 of 2
  ["3 * 4 = 12.\n12 - 5 = 8.\nAnswer: 8", -1, 0, 0, false], // +1 and −1
  ["3 + 4 = 7.\n7 - 5 = 2.\nAnswer: 2", -1, -0.5, 0, false],
  ["3 * 4 = 12.\n12 + 5 = 17.\nAnswer: 17", -1, 0, 0, false],
  ["3 * 4 = 12.\n5 - 12 = 7.\nAnswer: 7", 1, 0, 0, true],
  ["3 * 4 = 12.\n12 - 5 = 7.", -0.5, 1, 0, false],
  ["Answer: 7", 1, 0, 0, true],
  ["3 * 4 = 12.\n12 - 5 = 7.\nAnswer: 7\nAnswer: 7", 1, 1, -0.25, true],
  ["3 * 4 = 12.\n12 - 5 = 7.\nAnswer: 7\nAnswer: 8", -1, 1, -0.25, false],
  ["Answer: 7\n3 * 4 = 12.\n12 - 5 = 7.", 1, 1, -0.25, true],
  ["3 * 4 = 12.\n3 * 4 = 12.\n12 - 5 = 7.\nAnswer: 7", 1, 0.5, 0, true],
  ["Hello.\n3 * 4 = 12.\n12 - 5 = 7.\nAnswer: 7", 1, 1, -0.25, true],
  ["", -0.5, 0, 0, false],
])("the solution %j is judged step by step", (text, answer, steps, form, correct) => {
  expect(goldReward(pencils, text)).toEqual({
    total: answer + steps + form,
    parts: { answer, steps, form },
    correct,
  });
});

test("listing every answer from 0 to 99 does not pay", () => {
  const answers = Array.from({ length: 100 }, (_, n) => `Answer: ${n}`).join("\n");
  expect(goldReward(pencils, answers)).toMatchObject({ total: -2, correct: false });
});

test("any text at all has a finite reward within the stated scale", () => {
  const fragments = [
    ...best.split(" "),
    ...phrases.map(({ text }) => text),
    "3 * 4 = 12.\n",
    "Answer: ",
  ];
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.array(fc.constantFrom(...fragments), { maxLength: 30 }).map((list) => list.join(" ")),
    fc.stringMatching(/^(Answer: |\d{1,30}|[+*=.\n ]){0,40}$/),
  );
  fc.assert(
    fc.property(text, (reply) => {
      const support = goldReward(kettle, reply);
      const arithmetic = goldReward(pencils, reply);
      expect(support.total).toBeGreaterThanOrEqual(-4.5);
      expect(support.total).toBeLessThanOrEqual(3.5);
      expect(arithmetic.total).toBeGreaterThanOrEqual(-3);
      expect(arithmetic.total).toBeLessThanOrEqual(2);
      expect(goldReward(kettle, reply)).toEqual(support);
    }),
    { numRuns: 1_000, seed: 1 },
  );
});

test("a reply of a megabyte is judged in moments", () => {
  for (const unit of ["a.", "x", "Look, ", "a a", "#1", "order #4821, a b ", "\n", "1 "]) {
    const long = unit.repeat(1_000_000 / unit.length);
    expect(Number.isFinite(goldReward(kettle, long).total + goldReward(pencils, long).total)).toBe(
      true,
    );
  }
}, 20_000);

test("every phrase of the desk is read back as itself", () => {
  const slots: Record<string, string> = { name: "Emma", order: "4821", product: "coffee grinder" };
  for (const phrase of phrases) {
    const text = phrase.text.replace(/\{(\w+)\}/g, (_, slot: string) => slots[slot]!);
    const sentences = readReply(text);
    expect(
      sentences.map((sentence) => sentence.phrase),
      text,
    ).toEqual([phrase]);
    for (const [slot, value] of Object.entries(sentences[0]!.slots))
      expect(value).toBe(slots[slot]);
  }
});

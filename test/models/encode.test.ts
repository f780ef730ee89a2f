/** How the corpus of the embedded models becomes tokens, with the tokenizer that they are served with. */
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { encodeClaims, encodeExample, encodeStanding } from "../../models/recipe/encode.ts";
import { careless, type SftExample, sftExamples } from "../../src/corpus/index.ts";
import type { ChatFormat } from "../../src/text/chat-answers.ts";
import { encodeChat } from "../../src/text/chat-prompt.ts";
import { ChatTemplate } from "../../src/text/chat-template.ts";
import { Tokenizer } from "../../src/text/tokenizer.ts";

const folder = join(import.meta.dirname, "..", "..", "models", "tiny-chat");
let format: ChatFormat;
beforeAll(async () => {
  const template = await ChatTemplate.load(folder);
  format = { tokenizer: await Tokenizer.load(folder), template: template! };
});

const example: SftExample = {
  prompt: {
    id: "arithmetic-0",
    domain: "arithmetic",
    messages: [{ role: "user", content: "Two boxes with 4 pens each?" }],
    facts: {
      domain: "arithmetic",
      steps: [
        {
          label: "In all",
          left: { value: 2, step: null },
          operation: "*",
          right: { value: 4, step: null },
          result: 8,
        },
      ],
      answer: 8,
    },
  },
  reply: {
    text: "In all: 2 * 4 = 18.",
    flaws: ["off-by-ten"],
    pieces: [
      { text: "In all: ", truth: null },
      { text: "2", truth: "2" },
      { text: " * 4 = ", truth: null },
      { text: "18", truth: "8" },
      { text: ".", truth: null },
    ],
  },
};

test("a demonstration ends with the end of the turn, after the prompt that serving renders", () => {
  const { prompt, completion } = encodeExample(format, example);
  const { messages } = example.prompt;
  expect(prompt).toEqual(encodeChat(format, messages, { addGenerationPrompt: true }));
  expect(completion.at(-1)).toBe(format.tokenizer.idOf("<|im_end|>"));
  expect(format.tokenizer.decode(completion.slice(0, -1))).toBe(example.reply.text);
});

test("a claim's tokens are right up to where it departs, each beside the token that should stand there", () => {
  const { completion, marks } = encodeClaims(format, example);
  const text = (id: number) => format.tokenizer.decode([id]);
  expect(
    marks.map(({ at, target, truth }) => [
      text(completion[at]!),
      target,
      truth === null ? null : text(truth),
    ]),
  ).toEqual([
    ["2", 1, "2"],
    ["1", -1, "8"],
    ["8", -1, null],
  ]);
});

test("a reply stands at 1 until its mistake, one lower from there on, and at its end by gold", () => {
  const { completion, marks } = encodeStanding(format, example);
  expect(marks.map(({ at }) => at)).toEqual([...completion.keys()]);
  const from = completion.findIndex((id) => format.tokenizer.decode([id]) === "1");
  const targets = marks.map(({ target }) => target);
  expect(targets.slice(0, -1)).toEqual(targets.slice(0, -1).map((_, at) => (at < from ? 1 : 0)));
  // No answer and a wrong step: −1.5 where 2 is the best.
  expect(targets.at(-1)).toBe(1 - (2 - -1.5));
});

test("right tokens are their own truth, and every wrong claim has a wrong token", () => {
  const examples = sftExamples(3, careless);
  for (let i = 0; i < 500; i++) {
    const { value } = examples.next();
    const { completion, marks } = encodeClaims(format, value);
    for (const { at, target, truth } of marks) if (target === 1) expect(completion[at]).toBe(truth);
    const wrong = value.reply.pieces.filter(({ text, truth }) => truth !== null && truth !== text);
    expect(marks.some(({ target }) => target === -1)).toBe(wrong.length > 0);
  }
});

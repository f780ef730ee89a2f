/** What is written is read back, for every format and kind of file, whatever the texts. */
import { access } from "node:fs/promises";
import fc, { type Arbitrary } from "fast-check";
import { expect, test } from "vitest";
import { sameText } from "../../src/datasets/prompt.ts";
import { formatNamed, loadDataset } from "../../src/datasets/read.ts";
import type { DatasetPrompt, DatasetRow } from "../../src/datasets/types.ts";
import { writeDataset } from "../../src/datasets/write.ts";
import { datasetFiles } from "../support/dataset-files.ts";

const { newPath } = datasetFiles();
const place = { file: "", line: 0 };

/** Any text; quotes, brackets, line ends and separators more often than chance would have them. */
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.string({
    unit: fc.constantFrom('"', "\\", "\n", "\r", "[", "]", "{", "}", ",", "\u2028", " ", "N"),
  }),
);
const answer = text.filter((each) => each.trim() !== "");
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((each) => each + 0); // JSON has no −0
const turn = (role: string) => fc.record({ role: fc.constant(role), content: text });
/** Ends with the user's message. */
const messages = fc
  .tuple(
    fc.array(turn("system"), { maxLength: 1 }),
    fc.array(fc.tuple(turn("user"), turn("assistant")), { maxLength: 2 }),
    turn("user"),
  )
  .map(([system, turns, last]) => [...system, ...turns.flat(), last]);
const conversation: Arbitrary<DatasetPrompt> = messages.map((each) => ({ messages: each }));
const bare: Arbitrary<DatasetPrompt> = text.map((each) => ({ text: each }));
const optional = <K extends string, T>(name: K, value: Arbitrary<T>) =>
  fc.option(value).map((each) => (each === null ? {} : ({ [name]: each } as Record<K, T>)));

const answers = fc.tuple(answer, answer).filter(([a, b]) => !sameText(a, b));
const pair = (prompt: Arbitrary<DatasetPrompt>, rest: Arbitrary<object> = fc.constant({})) =>
  fc.tuple(prompt, answers, rest).map(([prompt, [chosen, rejected], more]) => ({
    kind: "pair",
    prompt,
    chosen,
    rejected,
    ...more,
    place,
  }));
const rated = (prompt: Arbitrary<DatasetPrompt>) =>
  fc.record({
    kind: fc.constant("rated"),
    prompt,
    completion: answer,
    desirable: fc.boolean(),
    place: fc.constant(place),
  });
const supervised = (prompt: Arbitrary<DatasetPrompt>, rest: Arbitrary<object>) =>
  fc.tuple(prompt, answer, rest).map(([prompt, completion, more]) => ({
    kind: "supervised",
    prompt,
    completion,
    ...more,
    place,
  }));

/** All its earlier answers are to be imitated, some, or none. */
const manyTurns = supervised(conversation, fc.constant({})).chain((row) => {
  const given = "messages" in row.prompt ? row.prompt.messages : [];
  const turns = given.flatMap(({ role }, i) => (role === "assistant" ? [i] : []));
  return fc
    .subarray(turns)
    .map((trainedTurns) => (trainedTurns.length > 0 ? { ...row, trainedTurns } : row));
});
const lists = (prompt: Arbitrary<DatasetPrompt>) =>
  fc
    .tuple(
      prompt,
      fc.array(fc.tuple(text, fc.oneof(number, fc.constant(Number.NaN)))),
      answer,
      number,
    )
    .map(([prompt, others, best, reward]) => ({
      kind: "list",
      prompt,
      completions: [best, ...others.map(([each]) => each)],
      rewards: [reward, ...others.map(([, each]) => each)],
      place,
    }));
/** Steps that were all judged right or wrong, or by numbers. */
const steps = (scale: "right" | "rating", label: Arbitrary<number>) =>
  fc
    .tuple(fc.oneof(bare), fc.array(fc.tuple(answer, label), { minLength: 1, maxLength: 3 }))
    .map(([prompt, judged]) => ({
      kind: "steps",
      prompt,
      steps: judged.map(([each]) => each),
      labels: judged.map(([, each]) => each),
      scale,
      place,
    }));
const between = fc.double({ min: 0.1, max: 0.9, noNaN: true });
const trimmed = text
  .map((each) => each.trim())
  .filter((each) => !/\n\n(Human|Assistant):/.test(each));
const dialogue: Arbitrary<DatasetPrompt> = fc
  .tuple(fc.array(fc.tuple(trimmed, trimmed), { maxLength: 2 }), trimmed)
  .map(([turns, last]) => ({
    messages: [
      ...turns.flatMap(([asks, says]) => [
        { role: "user", content: asks },
        { role: "assistant", content: says },
      ]),
      { role: "user", content: last },
    ],
  }));
const transcripts = pair(dialogue).filter(({ chosen, rejected }) =>
  [chosen, rejected].every((each) => each === each.trim() && !/\n\n(Human|Assistant):/.test(each)),
);

const rows: readonly [string, Arbitrary<object>][] = [
  ["prompt-completion", supervised(bare, optional("reward", number))],
  ["prompt-completion", supervised(conversation, optional("reward", number))],
  ["messages", manyTurns],
  ["text", supervised(fc.constant({ text: "" }), fc.constant({}))],
  [
    "prompt-only",
    fc
      .tuple(bare, optional("answer", text))
      .map(([prompt, more]) => ({ kind: "prompt", prompt, ...more, place })),
  ],
  ["preference", pair(bare, optional("margin", number))],
  ["preference", pair(bare, optional("demonstrated", fc.constant(true)))],
  ["stepwise", steps("right", fc.constantFrom(0, 1))],
  ["stepwise", steps("right", between)],
  ["stepwise", steps("rating", number)],
  ["preference", pair(conversation, optional("margin", number))],
  ["unpaired", rated(bare)],
  ["unpaired", rated(conversation)],
  ["list", lists(bare)],
  ["list", lists(conversation)],
  ["openai-preference", pair(conversation)],
  ["halos", pair(conversation, optional("margin", number))],
  ["halos", rated(conversation)],
  [
    "halos",
    supervised(
      conversation,
      number.map((reward) => ({ reward })),
    ),
  ],
  ["hh-rlhf", transcripts],
];

test.each(rows)(
  "%s: what is written is read back, from lines, arrays and tables",
  async (name, row) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 1, maxLength: 4 }),
        fc.constantFrom("jsonl", "json", "jsonl.gz", "parquet"),
        async (given, ending) => {
          const written = given as DatasetRow[]; // built field by field above
          const file = await newPath(`rows.${ending}`);
          expect(await writeDataset(file, formatNamed(name), written)).toBe(written.length);
          const { rows: read } = await loadDataset(file, { format: name });
          expect(read.map((each) => ({ ...each, place }))).toEqual(written);
        },
      ),
      { numRuns: 25 },
    );
  },
);

test("a row that a format cannot hold is refused with its place, and no file is left", async () => {
  const file = await newPath("rows.jsonl");
  const prompt = {
    messages: [
      { role: "system", content: "Be kind." },
      { role: "user", content: "Hi" },
    ],
  };
  const row: DatasetRow = {
    kind: "pair",
    prompt,
    chosen: "a",
    rejected: "b",
    place: { file: "in.jsonl", line: 7 },
  };
  await expect(writeDataset(file, formatNamed("hh-rlhf"), [row])).rejects.toThrow(
    "in.jsonl, line 7: has a message of the role 'system'",
  );
  await expect(access(file)).rejects.toThrow("ENOENT");
});

test("a table cannot hold prompts of both kinds", async () => {
  const file = await newPath("rows.parquet");
  const row = (prompt: DatasetPrompt): DatasetRow => ({ kind: "prompt", prompt, place });
  const both = [row({ text: "a" }), row({ messages: [{ role: "user", content: "a" }] })];
  await expect(writeDataset(file, formatNamed("prompt-only"), both)).rejects.toThrow(
    "the column 'prompt' is a text in some rows and a list in others. Write it as .jsonl.",
  );
});

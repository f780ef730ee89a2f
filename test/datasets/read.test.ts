import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { loadDataset } from "../../src/datasets/read.ts";
import { datasetFiles, linesOf as lines } from "../support/dataset-files.ts";

const { fileOf } = datasetFiles();

test("reads prompts and completions with the line they stand on, past empty lines", async () => {
  const rows = lines({ prompt: "The sky is", completion: " blue." });
  const file = await fileOf(`\uFEFF${rows}\n\r\n${rows}`);
  const { rows: read, format } = await loadDataset(file);
  expect(format.name).toBe("prompt-completion");
  expect(read).toEqual([
    {
      kind: "supervised",
      prompt: { text: "The sky is" },
      completion: " blue.",
      place: { file, line: 1 },
    },
    {
      kind: "supervised",
      prompt: { text: "The sky is" },
      completion: " blue.",
      place: { file, line: 4 },
    },
  ]);
});

test("reads what gzip has compressed, and texts with line separators in them", async () => {
  const text = '{"prompt":"a\u2028b","completion":"c\u2029d"}';
  const file = await fileOf(gzipSync(text), "rows.jsonl.gz");
  const { rows } = await loadDataset(file);
  expect(rows).toMatchObject([{ prompt: { text: "a\u2028b" }, completion: "c\u2029d" }]);
});

test("names file, line and field of a row that it cannot use", async () => {
  const file = await fileOf(
    lines({ prompt: "a", completion: "b" }, { prompt: "a", completion: 7 }),
  );
  await expect(loadDataset(file)).rejects.toThrow(
    `${file}, line 2, field 'completion': must be a text or a list of messages, not 7.`,
  );
});

test("names the field that was probably meant", async () => {
  const file = await fileOf(lines({ prompt: "a", completion: "b", rewrad: 1 }));
  await expect(loadDataset(file)).rejects.toThrow(
    "field 'rewrad': is not known to the format 'prompt-completion'; did you mean 'reward'?",
  );
  const other = await fileOf(lines({ promt: "a", completion: "b" }));
  await expect(loadDataset(other)).rejects.toThrow(
    "field 'promt': is no field of any format; did you mean 'prompt'?",
  );
});

test("leaves out what it cannot use when asked to, counted by reason", async () => {
  const file = await fileOf(
    `${lines({ prompt: "a", completion: "b" })}{"prompt": \n${lines({ prompt: "a", completion: " " }, { prompt: "a", completion: "b", reward: Number.NaN })}`,
  );
  const { rows, report } = await loadDataset(file, { onInvalid: "skip" });
  expect(rows).toHaveLength(2); // JSON.stringify writes NaN as null: absent
  expect(report).toMatchObject({ read: 4, skipped: { not_json: 1, empty_answer: 1 } });
  expect(report.problems.map(({ place }) => place.line)).toEqual([2, 3]);
});

test("reads arrays however they are laid out, with the line that each row begins on", async () => {
  const rows = [
    { prompt: 'a "[{,', completion: "b]}\\" },
    { prompt: "c", completion: "d" },
  ];
  const file = await fileOf(JSON.stringify(rows, null, 2), "rows.json");
  const { rows: read } = await loadDataset(file);
  expect(read).toMatchObject([
    { ...rows[0], prompt: { text: 'a "[{,' }, place: { line: 2 } },
    { ...rows[1], prompt: { text: "c" }, place: { line: 6 } },
  ]);
  const cut = await fileOf(JSON.stringify(rows, null, 2).slice(0, -3), "rows.json");
  await expect(loadDataset(cut)).rejects.toThrow("line 9: is JSON without its end");
});

test("reads lines under the ending .json", async () => {
  const file = await fileOf(lines({ text: "a" }, { text: "b" }), "rows.json");
  const { rows } = await loadDataset(file);
  expect(rows.map(({ place }) => place.line)).toEqual([1, 2]);
});

test("refuses rows of two formats in one file, and files that are none", async () => {
  const mixed = await fileOf(lines({ text: "a" }, { prompt: "a", completion: "b" }));
  await expect(loadDataset(mixed)).rejects.toThrow(
    "line 2: is of the format 'prompt-completion', the first row of 'text'",
  );
  await expect(loadDataset(await fileOf(""))).rejects.toThrow("it has no row");
  await expect(loadDataset(await fileOf("a", "rows.csv"))).rejects.toThrow(
    "does not end in .jsonl",
  );
  await expect(loadDataset("/nowhere/rows.jsonl")).rejects.toThrow("it does not exist");
  await expect(loadDataset(await fileOf("PAR1", "rows.parquet"))).rejects.toThrow("reading failed");
  const cut = gzipSync(lines({ text: "a" })).subarray(0, 20);
  await expect(loadDataset(await fileOf(cut, "rows.jsonl.gz"))).rejects.toThrow("reading failed");
});

test("a format that is named is taken, and a name that is not known refused", async () => {
  const file = await fileOf(lines({ prompt: "a", chosen: "b", rejected: "c" }));
  await expect(loadDataset(file, { format: "unpaired" })).rejects.toThrow(
    "field 'chosen': is not known to the format 'unpaired'",
  );
  await expect(loadDataset(file, { format: "preferense" })).rejects.toThrow(
    "did you mean 'preference'?",
  );
});

test("fields that nothing knows pass when they are named, and ids always do", async () => {
  const file = await fileOf(lines({ id: 7, text: "a", source: "web" }));
  await expect(loadDataset(file)).rejects.toThrow("field 'source'");
  expect((await loadDataset(file, { ignoreFields: ["source"] })).rows).toHaveLength(1);
  expect((await loadDataset(file, { ignoreFields: "all" })).rows).toHaveLength(1);
});

test.each([
  [
    { prompt: "p", chosen: "a  b", rejected: " a b\n" },
    "the chosen and the rejected answer are equal",
  ],
  [{ prompt: "p", chosen: "a", rejected: "" }, "field 'rejected': is empty"],
  [{ prompt: "p", completion: "a", reward: "NaN" }, "field 'reward': is NaN"],
  [
    { prompt: "p", completion: "a", label: "yes" },
    "field 'label': must be true or false, not \"yes\"",
  ],
  [
    { prompt: "p", completions: ["a"], rewards: [1, 2] },
    "field 'rewards': there are 1 answers and 2 rewards",
  ],
  [
    { messages: [{ role: "user", content: "a" }] },
    "field 'messages': has no answer of the assistant",
  ],
  [
    { messages: [{ role: "asistant", content: "a" }] },
    "field 'messages.0.role': 'asistant' is not a role; did you mean 'assistant'?",
  ],
  [
    { messages: [{ role: "user", contents: "a" }] },
    "field 'messages.0.content': is required; is it the one called 'contents'?",
  ],
  [
    {
      messages: [
        { role: "user", content: "a" },
        { role: "assistant", content: "b", weight: 0.5 },
      ],
    },
    "field 'messages.1.weight': must be 0 or 1, not 0.5",
  ],
  [
    { messages: [{ role: "assistant", content: null, tool_calls: [{}] }] },
    "field 'messages.0.tool_calls': calls of tools cannot be trained on yet",
  ],
])("%j is refused", async (row, problem) => {
  await expect(loadDataset(await fileOf(lines(row)))).rejects.toThrow(problem);
});

/** One row of each format, as its own documentation shows it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { formats } from "../../src/datasets/formats/index.ts";
import { loadDataset } from "../../src/datasets/read.ts";
import type { DatasetRow } from "../../src/datasets/types.ts";
import { requestToJson } from "../../src/store/record-json.ts";
import { datasetFiles, linesOf } from "../support/dataset-files.ts";
import { candidateRecord, requestRecord } from "../support/request-record.ts";

const { fileOf } = datasetFiles();
const sky = [{ role: "user", content: "What color is the sky?" }];
const says = (content: string) => ({ role: "assistant", content });

const withoutPlace = (row: DatasetRow) =>
  Object.fromEntries(Object.entries(row).filter(([name]) => name !== "place"));

async function read(...rows: readonly unknown[]) {
  const file = await fileOf(linesOf(...rows));
  const dataset = await loadDataset(file);
  return { format: dataset.format.name, rows: dataset.rows.map(withoutPlace) };
}

test("TRL, language modelling", async () => {
  expect(await read({ text: "The sky is blue." })).toEqual({
    format: "text",
    rows: [{ kind: "supervised", prompt: { text: "" }, completion: "The sky is blue." }],
  });
  expect(await read({ messages: [...sky, says("It is blue.")] })).toEqual({
    format: "messages",
    rows: [{ kind: "supervised", prompt: { messages: sky }, completion: "It is blue." }],
  });
});

test("TRL, prompt-completion, of which a completion may have several turns", async () => {
  const turns = [says("Blue."), { role: "user", content: "Why?" }, says("Rayleigh.")];
  expect(await read({ prompt: sky, completion: turns })).toEqual({
    format: "prompt-completion",
    rows: [
      {
        kind: "supervised",
        prompt: { messages: [...sky, turns[0], turns[1]] },
        completion: "Rayleigh.",
        trainedTurns: [1],
      },
    ],
  });
});

test("TRL, preference with a prompt of its own", async () => {
  const wanted = { kind: "pair", prompt: { messages: sky }, chosen: "Blue.", rejected: "Green." };
  expect(await read({ prompt: sky, chosen: [says("Blue.")], rejected: [says("Green.")] })).toEqual({
    format: "preference",
    rows: [wanted],
  });
  expect(await read({ prompt: "The sky is", chosen: " blue.", rejected: " green." })).toEqual({
    format: "preference",
    rows: [{ kind: "pair", prompt: { text: "The sky is" }, chosen: " blue.", rejected: " green." }],
  });
});

test("TRL, preference whose prompt is what both answers begin with", async () => {
  expect(
    await read({ chosen: [...sky, says("Blue.")], rejected: [...sky, says("Green.")] }),
  ).toMatchObject({ rows: [{ prompt: { messages: sky }, chosen: "Blue.", rejected: "Green." }] });
  // TRL's own example: the space goes with the answers.
  expect(await read({ chosen: "The sky is blue.", rejected: "The sky is green." })).toMatchObject({
    rows: [{ prompt: { text: "The sky is" }, chosen: " blue.", rejected: " green." }],
  });
  // Two faces that share the first half of a surrogate pair.
  expect(await read({ chosen: "a\u{1F600}", rejected: "a\u{1F601}" })).toMatchObject({
    rows: [{ prompt: { text: "a" }, chosen: "\u{1F600}", rejected: "\u{1F601}" }],
  });
});

test("UltraFeedback binarized: a text prompt that the answers' messages repeat, and scores", async () => {
  const row = {
    prompt: sky[0]!.content,
    prompt_id: "f0e3",
    chosen: [...sky, says("Blue.")],
    rejected: [...sky, says("Green.")],
    messages: [...sky, says("Blue.")],
    score_chosen: 8.5,
    score_rejected: 6,
  };
  expect(await read(row)).toEqual({
    format: "preference",
    rows: [
      { kind: "pair", prompt: { messages: sky }, chosen: "Blue.", rejected: "Green.", margin: 2.5 },
    ],
  });
});

test("TRL, unpaired preference and prompt-only", async () => {
  expect(await read({ prompt: "The sky is", completion: " blue.", label: true })).toEqual({
    format: "unpaired",
    rows: [
      { kind: "rated", prompt: { text: "The sky is" }, completion: " blue.", desirable: true },
    ],
  });
  expect(await read({ prompt: sky, solution: "blue" })).toEqual({
    format: "prompt-only",
    rows: [{ kind: "prompt", prompt: { messages: sky }, answer: "blue" }],
  });
});

test("OpenAI, chat: answers of weight 0 are context, and what follows the last other one is left out", async () => {
  const messages = [
    { role: "system", content: "Be brief." },
    {
      role: "user",
      content: [
        { type: "text", text: "Capital of " },
        { type: "text", text: "France?" },
      ],
    },
    { ...says("Paris"), weight: 0 },
    { role: "user", content: "Shorter." },
    { ...says("P."), weight: 1 },
    { role: "user", content: "Longer." },
    says("Paris, of course."),
    { role: "user", content: "Thanks" },
    { ...says("Welcome."), weight: 0 },
  ];
  const { format, rows } = await read({ messages, parallel_tool_calls: false });
  expect(format).toBe("messages");
  expect(rows).toEqual([
    {
      kind: "supervised",
      prompt: {
        messages: [
          { role: "system", content: "Be brief." },
          { role: "user", content: "Capital of France?" },
          says("Paris"),
          { role: "user", content: "Shorter." },
          says("P."),
          { role: "user", content: "Longer." },
        ],
      },
      completion: "Paris, of course.",
      trainedTurns: [4],
    },
  ]);
});

test("OpenAI, preference", async () => {
  const row = {
    input: { messages: sky, tools: [], parallel_tool_calls: true },
    preferred_output: [says("Blue.")],
    non_preferred_output: [says("Green.")],
  };
  expect(await read(row)).toEqual({
    format: "openai-preference",
    rows: [{ kind: "pair", prompt: { messages: sky }, chosen: "Blue.", rejected: "Green." }],
  });
});

test("HALOs: pairs whose label says which is preferred, labelled and judged samples", async () => {
  const pair = {
    prompt_id: "0",
    prompt: sky,
    output_A: [says("Green.")],
    output_B: [says("Blue.")],
    label: 0,
    reward_A: -1,
    reward_B: 1.5,
    reward_difference: 2.5,
    type: "pairwise_feedback",
  };
  const labelled = {
    prompt: sky,
    output: [says("Green.")],
    label: 0,
    reward: -1,
    type: "binary_feedback",
  };
  const judged = { prompt: sky, output: [says("Green.")], reward: -1, type: "scalar_feedback" };
  const prompt = { messages: sky };
  expect(await read(pair, labelled, judged)).toEqual({
    format: "halos",
    rows: [
      { kind: "pair", prompt, chosen: "Blue.", rejected: "Green.", margin: 2.5 },
      { kind: "rated", prompt, completion: "Green.", desirable: false },
      { kind: "supervised", prompt, completion: "Green.", reward: -1 },
    ],
  });
});

test("HH-RLHF: transcripts that part at the last answer", async () => {
  const before =
    "\n\nHuman: Hi there\n\nAssistant: Hello.\n\nHuman: Is the sky blue?\n\nAssistant:";
  const { format, rows } = await read({ chosen: `${before} Yes.`, rejected: `${before} No.` });
  expect(format).toBe("hh-rlhf");
  expect(rows).toEqual([
    {
      kind: "pair",
      prompt: {
        messages: [
          { role: "user", content: "Hi there" },
          says("Hello."),
          { role: "user", content: "Is the sky blue?" },
        ],
      },
      chosen: "Yes.",
      rejected: "No.",
    },
  ]);
});

test("HH-RLHF: transcripts that part earlier are no pair", async () => {
  const chosen = "\n\nHuman: Hi\n\nAssistant: A\n\nHuman: So?\n\nAssistant: B";
  const rejected = "\n\nHuman: Hi\n\nAssistant: C\n\nHuman: So?\n\nAssistant: D";
  await expect(read({ chosen, rejected })).rejects.toThrow(
    "line 1, field 'rejected': parts from the other answer before its last message",
  );
});

test("lists by the names of RLHFlow and RRHF, with Python's NaN", async () => {
  const file = await fileOf(
    `{"prompt": ${JSON.stringify(sky)}, "responses": ["Blue. NaN", "Green."], "rewards": [NaN, -Infinity]}\n` +
      '{"query": "The sky is", "responses": [" blue.", " green."], "scores": [1.5, null]}\n',
  );
  await expect(loadDataset(file)).rejects.toThrow(
    "field 'rewards': has no reward that is a number",
  );
  const { rows, format } = await loadDataset(file, { onInvalid: "skip" });
  expect(format.name).toBe("list");
  expect(rows).toMatchObject([
    {
      prompt: { text: "The sky is" },
      completions: [" blue.", " green."],
      rewards: [1.5, Number.NaN],
    },
  ]);
});

test("TRL, stepwise supervision, and steps rated in another scale", async () => {
  const prompt = "Which number is larger, 9.8 or 9.11?";
  const completions = ["The fractional part of 9.8 is 0.8.", "0.11 is greater than 0.8."];
  expect(await read({ prompt, completions, labels: [true, false] })).toEqual({
    format: "stepwise",
    rows: [
      {
        kind: "steps",
        prompt: { text: prompt },
        steps: completions,
        labels: [1, 0],
        scale: "right",
      },
    ],
  });
  const soft = await read({ prompt: sky, completions, labels: [0.75, null] });
  expect(soft.rows[0]).toMatchObject({ labels: [0.75, Number.NaN], scale: "right" });
  const rated = await read({ prompt, completions, ratings: [1, -1] });
  expect(rated.rows[0]).toMatchObject({ labels: [1, -1], scale: "rating" });
  await expect(read({ prompt, completions, labels: [1, -1] })).rejects.toThrow(
    /field 'labels': -1 is neither true, false nor a probability; other scales go into 'ratings'/,
  );
  await expect(read({ prompt, completions, labels: [true] })).rejects.toThrow(
    /there are 2 steps and 1 labels/,
  );
});

test("PRM800K: the way that was gone, and each candidate that was left", async () => {
  const candidate = (text: string, rating: number | null) => ({ text, rating, flagged: false });
  const row = {
    labeler: "x",
    question: { problem: "1 + 1?", ground_truth_answer: "2" },
    label: {
      steps: [
        {
          completions: [candidate("Add.", 0), candidate("Guess.", -1)],
          human_completion: null,
          chosen_completion: 0,
        },
        {
          completions: [candidate("It is 3.", -1)],
          human_completion: { text: "It is 2.", rating: null },
          chosen_completion: null,
        },
        {
          completions: [candidate("# Answer 2", 1)],
          human_completion: null,
          chosen_completion: null,
        },
      ],
      finish_reason: "solution",
    },
  };
  const { format, rows } = await read(row);
  expect(format).toBe("prm800k");
  const none = Number.NaN;
  expect(rows.map(({ steps, labels }) => [steps, labels])).toEqual([
    [
      ["Add.", "It is 2."],
      [0, none],
    ],
    [["Guess."], [-1]],
    [
      ["Add.", "It is 3."],
      [none, -1],
    ],
    [
      ["Add.", "It is 2.", "# Answer 2"],
      [none, none, 1],
    ],
  ]);
  expect(rows[0]).toMatchObject({
    kind: "steps",
    scale: "rating",
    prompt: { messages: [{ role: "user", content: "1 + 1?" }] },
  });
});

test("a pair whose chosen answer is a demonstration says so", async () => {
  const pair = { prompt: "a", chosen: "b", rejected: "c" };
  expect((await read({ ...pair, demonstrated: true })).rows[0]).toMatchObject({
    demonstrated: true,
  });
  expect((await read({ ...pair, demonstrated: false })).rows[0]).not.toHaveProperty("demonstrated");
});

test("the log of requests: candidates with their rewards, those cut short without", async () => {
  const candidates = [
    candidateRecord({
      index: 0,
      text: "Blue.",
      rewards: { gold: 1, "gold/length": 5, "holdout:b": 3 },
    }),
    candidateRecord({ index: 1, text: "Gre", rewards: { gold: 0 }, finishReason: "cancelled" }),
    candidateRecord({ index: 2, text: "Green.", rewards: { gold: Number.NaN } }),
  ];
  const file = await fileOf(
    [
      requestToJson(requestRecord("one", { messages: sky, candidates })),
      requestToJson(
        requestRecord("two", { messages: sky, outcome: "failed", error: "engine_failed" }),
      ),
    ].join("\n"),
  );
  const { rows, format } = await loadDataset(file);
  expect(format.name).toBe("request-log");
  expect(rows).toEqual([
    {
      kind: "list",
      prompt: { messages: sky },
      completions: ["Blue.", "Gre", "Green."],
      rewards: [1, Number.NaN, Number.NaN],
      place: { file, line: 1 },
    },
  ]);
  const held = await loadDataset(file, { reward: "holdout:b" });
  expect(held.rows).toMatchObject([{ rewards: [3, Number.NaN, Number.NaN] }]);
});

const documentation = readFileSync(join(import.meta.dirname, "../../docs/data.md"), "utf8");
/** Each format's name, and the rows that stand below it. */
const documented = [
  ...documentation.matchAll(/^\*\*`([a-z-]+)`\*\*[^`]*(?:`[^`]*`[^`]*)*?```json\n(.*?)```/gms),
].flatMap(([, name, rows]) =>
  rows!
    .trim()
    .split("\n")
    .map((row) => [name!, row] as const),
);

test("the documentation shows every format that is written", () => {
  const shown = new Set(documented.map(([name]) => name));
  const written = formats.filter((format) => "write" in format).map(({ name }) => name);
  expect([...shown].sort()).toEqual(written.sort());
});

test.each(documented)("the documentation's row of %s is read as such", async (name, row) => {
  const { format, rows } = await read(JSON.parse(row));
  expect(format).toBe(name);
  expect(rows).toHaveLength(1);
});

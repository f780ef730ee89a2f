/** `plumbline data` on files: what it prints and what it leaves behind. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { addConvert } from "../../src/commands/data-convert.ts";
import { addLogExport } from "../../src/commands/data-export.ts";
import { addInspect } from "../../src/commands/data-inspect.ts";
import { addSplit } from "../../src/commands/data-split.ts";
import { promptKey } from "../../src/datasets/prompt.ts";
import { loadDataset } from "../../src/datasets/read.ts";
import { requestKind } from "../../src/store/importer.ts";
import { requestToJson } from "../../src/store/record-json.ts";
import { openSpool } from "../../src/store/spool.ts";
import { datasetFiles, linesOf } from "../support/dataset-files.ts";
import { candidateRecord, requestRecord } from "../support/request-record.ts";
import { temporaryFolder } from "../support/workspace.ts";

const { fileOf, newPath } = datasetFiles();
let printed: string[] = [];

beforeEach(() => {
  printed = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => printed.push(line));
});
afterEach(() => vi.restoreAllMocks());

async function run(...words: string[]): Promise<string> {
  const data = new Command("data").exitOverride();
  for (const add of [addInspect, addConvert, addSplit, addLogExport]) add(data);
  await data.parseAsync(words, { from: "user" });
  return printed.at(-1)!;
}

const lists = linesOf(
  { prompt: "p", completions: ["a", "b", "c"], rewards: [1, 3, "NaN"] },
  { prompt: "q", completions: ["d", "e"], rewards: [1, 1] },
);

test("inspect tells the format, the statistics, and each row of no use with its line", async () => {
  const file = await fileOf(`${lists}{"prompt": "r", "completions": ["f"], "rewards": ["NaN"]}\n`);
  const text = await run("inspect", file);
  expect(text).toContain(`${file}: 3 rows of the format 'list'`);
  expect(text).toContain("line 3, field 'rewards': has no reward that is a number");
  expect(text).toContain("2 rows (2 list), 2 different prompts, 0 repeated rows");
  const json = JSON.parse(await run("inspect", file, "--json"));
  expect(json).toMatchObject({
    files: [
      {
        file,
        format: "list",
        read: 3,
        skipped: { no_reward: 1 },
        problems: [{ place: { line: 3 } }],
      },
    ],
    unit: "characters",
    statistics: { rows: 2, lists: { flatShare: 0.5, unrewarded: 1 } },
  });
});

test("inspect counts in tokens when it is given a tokenizer", async () => {
  const file = await fileOf(linesOf({ text: "Hello, my name is Emma." }));
  const folder = join(import.meta.dirname, "../../models/tiny-chat");
  const json = JSON.parse(await run("inspect", file, "--json", "--tokenizer", folder));
  expect(json.unit).toBe("tokens");
  expect(json.statistics.answerLength.max).toBeLessThan(15);
});

test("convert makes preferences of answers with rewards, and tells what it left out", async () => {
  const out = await newPath("pairs.parquet");
  const report = JSON.parse(
    await run("convert", await fileOf(lists), "--make", "max_min", "--out", out, "--json"),
  );
  expect(report).toMatchObject({
    gathering: { answers: 5, unrewarded: 1, empty: 0, repeated: 0 },
    written: { file: out, format: "preference", rows: 1 },
  });
  expect((await loadDataset(out)).rows).toMatchObject([{ chosen: "b", rejected: "a", margin: 2 }]);
});

test("convert leaves out repeated rows, and writes nothing over a file that exists", async () => {
  const file = await fileOf(linesOf({ text: "a b" }, { text: "a  b" }, { text: "c" }));
  const out = await newPath("out.jsonl");
  expect(await run("convert", file, "--distinct", "row", "--out", out)).toContain(
    "1 rows repeated others",
  );
  expect(await readFile(out, "utf8")).toBe(
    linesOf({ prompt: "", completion: "a b" }, { prompt: "", completion: "c" }),
  );
  await expect(run("convert", file, "--out", out)).rejects.toThrow(`${out} exists`);
});

test.each([
  ["winners", [{ completion: "b" }, { completion: "d" }]],
  ["top", [{ completion: "b" }]],
  ["rankings", [{ completions: ["b", "a"] }]],
  [
    "labels",
    [{ desirable: false }, { desirable: true }, { desirable: false }, { desirable: false }],
  ],
  ["prompts", [{ kind: "prompt" }, { kind: "prompt" }]],
])("convert --make %s", async (make, wanted) => {
  const out = await newPath("out.jsonl");
  await run("convert", await fileOf(lists), "--make", make, "--out", out);
  const { rows } = await loadDataset(out);
  expect(rows).toMatchObject(wanted);
  expect(rows).toHaveLength(wanted.length);
});

test("convert makes demonstrations and labels of pairs, and says when rows are none", async () => {
  const file = await fileOf(linesOf({ prompt: "p", chosen: "a", rejected: "b" }));
  const [chosen, unpaired] = [await newPath("a.jsonl"), await newPath("b.jsonl")];
  await run("convert", file, "--make", "chosen", "--out", chosen);
  expect((await loadDataset(chosen)).rows).toMatchObject([{ kind: "supervised", completion: "a" }]);
  await run("convert", file, "--make", "unpaired", "--out", unpaired);
  expect((await loadDataset(unpaired)).rows).toMatchObject([
    { completion: "a", desirable: true },
    { completion: "b", desirable: false },
  ]);
  await expect(
    run("convert", chosen, "--make", "max_min", "--out", await newPath("c.jsonl")),
  ).rejects.toThrow(`'max_min' needs answers with rewards, and line 1 of ${chosen} has none`);
});

test("split puts every row on one side, no prompt on both, and each prompt on the same side again", async () => {
  const rows = Array.from({ length: 200 }, (_, i) => ({
    prompt: `prompt ${i % 100}`,
    completion: `answer ${i}`,
  }));
  const sides = async (given: typeof rows) => {
    const [train, heldOut] = [await newPath("train.jsonl"), await newPath("held-out.jsonl")];
    await run(
      "split",
      await fileOf(linesOf(...given)),
      "--share",
      "0.3",
      "--train",
      train,
      "--held-out",
      heldOut,
    );
    return { train: (await loadDataset(train)).rows, heldOut: (await loadDataset(heldOut)).rows };
  };
  const { train, heldOut } = await sides(rows);
  expect(train.length + heldOut.length).toBe(200);
  const keys = new Set(train.map(({ prompt }) => promptKey(prompt)));
  expect(heldOut.filter(({ prompt }) => keys.has(promptKey(prompt)))).toEqual([]);
  const other = await sides(rows.toReversed().slice(50));
  expect(other.train.every(({ prompt }) => keys.has(promptKey(prompt)))).toBe(true);
});

test("export writes the log of requests as lines that the other commands read", async () => {
  const folder = temporaryFolder();
  await mkdir(join(folder, "store", "log"), { recursive: true });
  const log = await openSpool({ folder: join(folder, "store", "log"), log: () => undefined });
  for (const id of ["one", "two"]) {
    const rewards = (reward: number) => ({ gold: reward });
    const record = requestRecord(id, {
      candidates: [
        candidateRecord({ index: 0, text: "Eight.", rewards: rewards(1) }),
        candidateRecord({ index: 1, text: "Six.", rewards: rewards(Number.NaN) }),
      ],
    });
    await log.append(requestKind, requestToJson(record));
  }
  await log.close();
  const out = await newPath("requests.jsonl");
  expect(await run("export", folder, "--out", out)).toBe(`${out}: 2 requests`);
  const { rows } = await loadDataset(out);
  expect(rows).toMatchObject([
    { kind: "list", completions: ["Eight.", "Six."], rewards: [1, Number.NaN] },
    { kind: "list" },
  ]);
  await expect(run("export", "/nowhere", "--out", await newPath("x.jsonl"))).rejects.toThrow(
    "/nowhere has no log of requests",
  );
});

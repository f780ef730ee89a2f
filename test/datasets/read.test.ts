import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { loadDataset } from "../../src/datasets/read.ts";

async function fileOf(text: string | Uint8Array, name = "rows.jsonl"): Promise<string> {
  const file = join(await mkdtemp(join(tmpdir(), "plumbline-data-")), name);
  await writeFile(file, text);
  return file;
}

const lines = (...rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

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

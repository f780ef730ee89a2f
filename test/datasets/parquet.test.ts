/** Tables that Arrow has written: scripts/fixtures/parquet_rows.py. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadDataset } from "../../src/datasets/read.ts";

const fixture = (name: string) => join(import.meta.dirname, "../fixtures/parquet", name);

test("reads messages, scores and missing values of all row groups, with their row numbers", async () => {
  const file = fixture("preference.parquet");
  const { rows, format } = await loadDataset(file);
  expect(format.name).toBe("preference");
  const row = (i: number, margin: object) => ({
    kind: "pair",
    prompt: { messages: [{ role: "user", content: `Frage ${i}: größer?` }] },
    chosen: `ja ${i}`,
    rejected: `nein ${i}`,
    ...margin,
    place: { file, line: i + 1 },
  });
  expect(rows).toEqual([row(0, { margin: 6.5 }), row(1, {}), row(2, { margin: 6.5 })]);
});

test("reads labels that are integers", async () => {
  const { rows } = await loadDataset(fixture("labels.parquet"));
  expect(rows).toMatchObject([
    { kind: "rated", prompt: { text: "a" }, completion: "x", desirable: true },
    { kind: "rated", prompt: { text: "b" }, completion: "y", desirable: false },
  ]);
});

test("says which compressions there are when it meets another", async () => {
  await expect(loadDataset(fixture("zstd.parquet"))).rejects.toThrow(
    "Write it with snappy, gzip or brotli.",
  );
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { DistinctRows } from "../../src/datasets/duplicates.ts";
import { normalText, promptKey } from "../../src/datasets/prompt.ts";
import { isHeldOut } from "../../src/datasets/split.ts";
import { DatasetCounter } from "../../src/datasets/statistics.ts";
import type { DatasetRow, PairRow } from "../../src/datasets/types.ts";

const place = { file: "rows.jsonl", line: 1 };
const pair = (prompt: string, chosen: string, rejected: string, margin?: number): PairRow => ({
  kind: "pair",
  prompt: { text: prompt },
  chosen,
  rejected,
  ...(margin === undefined ? {} : { margin }),
  place,
});

test("a prompt is on one side only, whatever its answers and the space in it", () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.string(),
      fc.nat(),
      fc.double({ min: 0.01, max: 0.99, noNaN: true }),
      (prompt, answer, seed, share) => {
        const side = isHeldOut(pair(prompt, answer, "b"), { share, seed });
        expect(isHeldOut(pair(` ${prompt}\n`, "c", answer), { share, seed })).toBe(side);
      },
    ),
  );
});

test("a prompt that is held out stays so with a larger share", () => {
  const rows = Array.from({ length: 500 }, (_, i) => pair(`prompt ${i}`, "a", "b"));
  for (const row of rows.filter((each) => isHeldOut(each, { share: 0.1 }))) {
    expect(isHeldOut(row, { share: 0.2 })).toBe(true);
  }
});

test("about the share that was asked for is held out, another seed holds out others", () => {
  const rows = Array.from({ length: 4000 }, (_, i) => pair(`prompt ${i}`, "a", "b"));
  const held = (seed: number) => rows.filter((row) => isHeldOut(row, { share: 0.1, seed }));
  expect(Math.abs(held(0).length - 400)).toBeLessThan(95); // 5 deviations of the binomial
  const both = held(0).filter((row) => isHeldOut(row, { share: 0.1, seed: 1 }));
  expect(both.length).toBeLessThan(80); // 40 by chance
});

test("texts without a prompt are held out one by one", () => {
  const text = (i: number): DatasetRow => ({
    kind: "supervised",
    prompt: { text: "" },
    completion: `text ${i}`,
    place,
  });
  const held = Array.from({ length: 1000 }, (_, i) => isHeldOut(text(i), { share: 0.5 }));
  expect(held.filter(Boolean).length).toBeGreaterThan(400);
  expect(held.filter(Boolean).length).toBeLessThan(600);
});

test("prompts are one if their words and roles are", () => {
  const keyOf = (role: string, content: string) => promptKey({ messages: [{ role, content }] });
  expect(keyOf("user", "a \n b")).toBe(keyOf("user", "a b"));
  expect(keyOf("user", "caf\u00e9")).toBe(keyOf("user", "cafe\u0301"));
  expect(keyOf("user", "a b")).not.toBe(keyOf("user", "ab"));
  expect(keyOf("user", "a")).not.toBe(keyOf("system", "a"));
  expect(keyOf("user", "a")).not.toBe(promptKey({ text: "a" }));
});

test("texts are normalised alike, whether a look tells or not", () => {
  const text = fc.string({ unit: fc.constantFrom("a", " ", "~", "\u00e9", "\n", "\t", "e\u0301") });
  fc.assert(
    fc.property(text, (each) => {
      expect(normalText(each)).toBe(each.normalize("NFC").split(/\s+/).filter(Boolean).join(" "));
    }),
  );
});

test("equal rows pass once: by all that they say, or by their prompt", () => {
  const rows = [
    pair("p", "a", "b"),
    pair(" p", "a ", "b", 2),
    pair("p", "b", "a"),
    pair("q", "a", "b"),
  ];
  const byRow = new DistinctRows("row");
  expect(rows.map((row) => byRow.isNew(row))).toEqual([true, false, true, true]);
  expect(byRow.dropped).toBe(1);
  const byPrompt = new DistinctRows("prompt");
  expect(rows.map((row) => byPrompt.isNew(row))).toEqual([true, false, false, true]);
});

test("statistics count rows, prompts, lengths, and what is odd about pairs", () => {
  const counter = new DatasetCounter();
  for (const row of [
    pair("p", "long", "b", 1),
    pair("p", "b", "long", 3),
    pair("p", "b", "long"),
    pair("pp", "\u{1F600}", "xyz"),
  ])
    counter.add(row);
  expect(counter.statistics).toMatchObject({
    rows: 4,
    kinds: { pair: 4 },
    prompts: 2,
    duplicates: 1,
    promptLength: { mean: 1.25, min: 1, max: 2, p50: 1 },
    answerLength: { mean: (4 + 1 + 1 + 4 + 1 + 4 + 1 + 3) / 8, min: 1, max: 4 },
    pairs: { chosenLongerShare: 0.25, margin: { mean: 2, min: 1, max: 3 }, contradictory: 2 },
    desirableShare: null,
    lists: null,
  });
});

test("statistics of lists and labels: rewards that are missing or all the same, how many are desirable", () => {
  const counter = new DatasetCounter((text) => text.split(" ").length);
  const prompt = {
    messages: [
      { role: "user", content: "one two" },
      { role: "user", content: "three" },
    ],
  };
  counter.add({ kind: "list", prompt, completions: ["a", "b c"], rewards: [1, Number.NaN], place });
  counter.add({ kind: "list", prompt, completions: ["a", "b", "c"], rewards: [1, 2, 2], place });
  for (const desirable of [true, true, false, true]) {
    counter.add({ kind: "rated", prompt, completion: "a", desirable, place });
  }
  expect(counter.statistics).toMatchObject({
    prompts: 1,
    promptLength: { mean: 3 },
    answerLength: { max: 2 },
    reward: { mean: 1.5 },
    desirableShare: 0.75,
    lists: { answers: { mean: 2.5 }, unrewarded: 1, flatShare: 0.5 },
  });
});

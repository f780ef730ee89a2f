/** Answers behind words that say how good they were. */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { DatasetRow } from "../../../src/datasets/types.ts";
import {
  type Conditioning,
  checkConditioning,
  conditional,
  saying,
} from "../../../src/jobs/training/conditional.ts";
import type { RowFormat } from "../../../src/jobs/training/encode-rows.ts";
import { nobody } from "../../../src/jobs/training/teacher.ts";
import { ChatTemplate } from "../../../src/text/chat-template.ts";
import { Tokenizer } from "../../../src/text/tokenizer.ts";

const folder = join(import.meta.dirname, "../../../models/tiny-chat");
let format: RowFormat;
beforeAll(async () => {
  const tokenizer = await Tokenizer.load(folder);
  format = { tokenizer, template: await ChatTemplate.load(folder), endIds: tokenizer.endIds };
});

const place = { file: "a.jsonl", line: 7 };
const asked = { messages: [{ role: "user", content: "2 + 2?" }] };
const plain: Conditioning = {
  words: ["Bad.", "Good."],
  levels: { thresholds: [0.5] },
  place: "system",
};

/** What of rows is read, as texts. */
function readings(rows: readonly DatasetRow[], conditioning = plain): string[] {
  const material = conditional(conditioning).informed!(rows);
  return rows.flatMap((row) =>
    material.read(row, format).map((example) => {
      const { packed } = material.step([example], 96, () => [], nobody);
      const ids = Array.from(packed.ids.slice(0, example.lengths[0]! - 1), Number);
      return format.tokenizer.decode(ids);
    }),
  );
}

test("a word stands where serving can say it: a system message, the user's first line, a line before a text", () => {
  expect(saying("Good.", asked, "system")).toEqual({
    messages: [{ role: "system", content: "Good." }, ...asked.messages],
  });
  const both = [{ role: "system", content: "Be brief." }, ...asked.messages];
  expect(saying("Good.", { messages: both }, "system")).toEqual({
    messages: [{ role: "system", content: "Good.\nBe brief." }, ...asked.messages],
  });
  expect(saying("Good.", { messages: both }, "user")).toEqual({
    messages: [both[0], { role: "user", content: "Good.\n2 + 2?" }],
  });
  expect(saying("Good.", { text: "2 + 2 =" }, "user")).toEqual({ text: "Good.\n2 + 2 =" });
});

describe("an answer's word", () => {
  const answer = (completion: string, reward: number): DatasetRow => ({
    kind: "supervised",
    prompt: asked,
    completion,
    reward,
    place,
  });

  test("is that of its reward's level, and of what is good or bad the last or the first", () => {
    const rows: DatasetRow[] = [
      answer("5", 0.4),
      answer("4", 0.5),
      { kind: "pair", prompt: asked, chosen: "It is 4.", rejected: "It is 5.", place },
      { kind: "rated", prompt: asked, completion: "Four", desirable: true, place },
      { kind: "list", prompt: asked, completions: ["3", "4!"], rewards: [-1, 2], place },
    ];
    const told = readings(rows).map((text) => [
      /Good\./.test(text) ? "good" : "bad",
      text.split("assistant\n")[1],
    ]);
    expect(told).toEqual([
      ["bad", "5"],
      ["good", "4"],
      ["good", "It is 4."],
      ["bad", "It is 5."],
      ["good", "Four"],
      ["bad", "3"],
      ["good", "4!"],
    ]);
  });

  test("may be one of several, by shares of the rewards that are trained on", () => {
    const rows = [1, 2, 3, 4, 5, 6].map((reward) => answer(`${reward} it is`, reward));
    const words = ["Poor.", "Fair.", "Fine."];
    const levels = { quantiles: [1 / 3, 2 / 3] };
    const told = readings(rows, { ...plain, words, levels }).map(
      (text) => words.find((word) => text.includes(word))!,
    );
    expect(told).toEqual(["Poor.", "Poor.", "Fair.", "Fair.", "Fine.", "Fine."]);
    const { facts } = conditional({ ...plain, words, levels }).informed!(rows);
    expect(facts.map(([name]) => name)).toEqual([
      "control word",
      "control word from 2.667",
      "control word from 4.333",
    ]);
  });

  test("needs a reward, and shares at which rewards differ", () => {
    const bare: DatasetRow = { kind: "supervised", prompt: asked, completion: "4", place };
    expect(() => readings([bare])).toThrow("it has no reward to be told by");
    const words = ["Poor.", "Fair.", "Fine."];
    const same = { ...plain, words, levels: { quantiles: [0.4, 0.6] } };
    const rows = [1, 1, 1].map((reward) => answer("4", reward));
    expect(() => readings(rows, same)).toThrow(/the rewards are 1, 1, which do not rise/);
  });
});

test("words and borders that do not fit are refused", () => {
  const check = (changes: Partial<Conditioning>) => () =>
    checkConditioning({ ...plain, ...changes });
  expect(check({})).not.toThrow();
  expect(check({ words: ["Good."] })).toThrow(/two different texts/);
  expect(check({ words: ["Good.", "Good."] })).toThrow(/two different texts/);
  expect(check({ levels: { thresholds: [0, 1] } })).toThrow(/2 control words need 1 borders/);
  const three = { words: ["a", "b", "c"] };
  expect(check({ ...three, levels: { quantiles: [0.5, 0.5] } })).toThrow(/must rise/);
});

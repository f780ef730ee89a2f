/** Rows as the tokens that are learned, read off by the tokenizer that they will be served with. */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { DatasetRow } from "../../../src/datasets/types.ts";
import type { Example } from "../../../src/jobs/training/define-material.ts";
import type { RowFormat } from "../../../src/jobs/training/encode-rows.ts";
import { materialOf } from "../../../src/jobs/training/material.ts";
import { nobody } from "../../../src/jobs/training/teacher.ts";
import { ChatTemplate } from "../../../src/text/chat-template.ts";
import { Tokenizer } from "../../../src/text/tokenizer.ts";
import type { StepData } from "../../../src/train/batches.ts";
import { lossNamed } from "../../../src/train/losses/index.ts";

const folder = join(import.meta.dirname, "../../../models/tiny-chat");
let format: RowFormat;
beforeAll(async () => {
  const tokenizer = await Tokenizer.load(folder);
  format = { tokenizer, template: await ChatTemplate.load(folder), endIds: tokenizer.endIds };
});

const place = { file: "a.jsonl", line: 7 };
const asked = { messages: [{ role: "user", content: "2 + 2?" }] };
const learned = (step: StepData) => [...step.int64["labels"]!].map(Number);
const text = (ids: readonly number[]) =>
  ids.map((id) => (format.endIds.includes(id) ? "<end>" : format.tokenizer.decode([id]))).join("");

function stepOf(
  loss: string,
  rows: readonly DatasetRow[],
  references = (example: Example) => example.answers.map(() => 0),
  prefixes = false,
): StepData {
  const material = materialOf(lossNamed(loss), { prefixes });
  const read = rows.flatMap((row) => [...material.read(row, format)]);
  return material.step(material.complete(read, 64), 96, references, nobody);
}

test("a pair of a demonstration is told apart from labelled pairs, for losses that weigh the two", () => {
  const pair: DatasetRow = { kind: "pair", prompt: asked, chosen: "4", rejected: "5", place };
  const { float32 } = stepOf("aihf", [pair, { ...pair, demonstrated: true }]);
  expect([...float32["demonstrated"]!]).toEqual([0, 1]);
});

describe("with prefixes a reward", () => {
  const pair: DatasetRow = { kind: "pair", prompt: asked, chosen: "4", rejected: "5 6 7", place };
  const prefixed = (loss: string, row: DatasetRow) => stepOf(loss, [row], () => [], true);

  test("compares answers from where they differ to the end of the shorter one, weighing 1 together", () => {
    const { int64, float32 } = prefixed("bradley-terry", pair);
    const shorter = format.tokenizer.encode("4").length + 2; // with the end of the turn and the line
    expect(int64["chosen_rows"]).toHaveLength(shorter);
    const [first, last] = [float32["pair_weights"]!, int64["chosen_rows"]!];
    expect(first.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 6);
    const whole = stepOf("bradley-terry", [pair]);
    expect(last.at(-1)).toBe(whole.int64["chosen_rows"]![0]);
  });

  test("foretells an answer's rating at each of its tokens, more surely at later ones", () => {
    const rated: DatasetRow = {
      kind: "supervised",
      prompt: asked,
      completion: "4",
      reward: 2,
      place,
    };
    const { float32 } = prefixed("reward-regression", rated);
    const tokens = format.tokenizer.encode("4").length + 2;
    expect([...float32["targets"]!]).toEqual(Array.from({ length: tokens }, () => 2));
    const sum = (tokens * (tokens + 1)) / 2;
    for (const [t, weight] of [...float32["weights"]!].entries())
      expect(weight).toBeCloseTo((t + 1) / sum, 6);
  });

  test("has no use for margins", () => {
    expect(() => prefixed("bradley-terry", { ...pair, margin: 1 })).toThrow(/it has a margin/);
  });
});

describe("an answer to imitate", () => {
  const row: DatasetRow = { kind: "supervised", prompt: asked, completion: "It is 4.", place };

  test("is learned with its end of turn, and without what the template puts behind it", () => {
    expect(text(learned(stepOf("sft", [row])))).toBe("It is 4.<end>");
  });

  test("is learned with the earlier answers that the row names, and not with others", () => {
    const messages = [
      { role: "user", content: "1 + 1?" },
      { role: "assistant", content: "2" },
      { role: "user", content: "3 + 3?" },
      { role: "assistant", content: "6" },
      { role: "user", content: "2 + 2?" },
    ];
    const several = { ...row, prompt: { messages }, trainedTurns: [3] };
    expect(text(learned(stepOf("sft", [several])))).toBe("6<end>It is 4.<end>");
    const wrong = { ...several, trainedTurns: [2] };
    expect(() => stepOf("sft", [wrong])).toThrow("message 2 is no answer to learn");
  });

  test("continues a text with the end token, and a text alone is learned but for its first token", () => {
    const continued: DatasetRow = { ...row, prompt: { text: "2 + 2 =" }, completion: " 4" };
    expect(text(learned(stepOf("sft", [continued])))).toBe(" 4<end>");
    const alone: DatasetRow = { ...row, prompt: { text: "" }, completion: "1 2" };
    expect(text(learned(stepOf("sft", [alone])))).toBe(" 2<end>");
  });

  test("is refused without a template for its conversation, or without a word", () => {
    const { read } = materialOf(lossNamed("sft"));
    expect(() => read(row, { ...format, template: null })).toThrow(/no chat template/);
    expect(() => read({ ...row, completion: " \n" }, format)).toThrow("an answer is empty");
  });
});

describe("answers to compare", () => {
  const pair: DatasetRow = { kind: "pair", prompt: asked, chosen: "4", rejected: "5, no?", place };
  const list: DatasetRow = {
    kind: "list",
    prompt: asked,
    completions: ["5", "4", "22"],
    rewards: [0, 1, -1],
    place,
  };

  test("of a pair stand in their order, each with what the reference says of it", () => {
    const step = stepOf("dpo", [pair, { ...pair, chosen: "Four" }], ({ answers }) =>
      answers.map(({ completion }) => -completion.length),
    );
    expect(text(learned(step))).toBe("4<end>5, no?<end>Four<end>5, no?<end>");
    const tokens = (answer: string) => -(format.tokenizer.encode(answer).length + 1);
    expect([...step.float32["references"]!]).toEqual(["4", "5, no?", "Four", "5, no?"].map(tokens));
    expect([...step.int64["chosen"]!]).toEqual([0n, 2n]);
    expect([...step.int64["rejected"]!]).toEqual([1n, 3n]);
  });

  test("of a list are ranked by their rewards", () => {
    const step = stepOf("dpo-plackett-luce", [list]);
    expect([...step.float32["ranks"]!]).toEqual([1, 0, 2]);
    expect([...step.float32["rewards"]!]).toEqual([0, 1, -1]);
  });

  test("make a reward model's pairs, read behind the whole turn, a list's together as heavy as a pair", () => {
    const step = stepOf("bradley-terry", [pair, list]);
    expect(step.int64["chosen_rows"]).toHaveLength(4);
    expect([...step.float32["pair_weights"]!]).toEqual([1, 1 / 3, 1 / 3, 1 / 3].map(Math.fround));
    const { ids } = step.packed;
    const [row] = step.int64["chosen_rows"]!;
    expect(format.tokenizer.decode([Number(ids[Number(row)])])).toBe("\n"); // as serving renders it
  });

  test("that are equal, or whose rewards are none or order nothing, are refused", () => {
    const { read } = materialOf(lossNamed("dpo"));
    expect(() => read({ ...pair, rejected: "4" }, format)).toThrow("its answers are equal");
    const lists = materialOf(lossNamed("rrhf"));
    const rewarded = (rewards: number[]) => () => lists.read({ ...list, rewards }, format);
    expect(rewarded([1, Number.NaN, 0])).toThrow("a reward is NaN");
    expect(rewarded([1, 1, 1])).toThrow(/order nothing/);
    expect(rewarded([1, 2])).toThrow("it has 2 rewards for 3 answers");
  });
});

describe("rated answers", () => {
  const rated = (word: string, content: string, desirable: boolean): DatasetRow => ({
    kind: "rated",
    prompt: { messages: [{ role: "user", content }] },
    completion: word,
    desirable,
    place,
  });

  test("get the answer to the nearest other prompt before them, where the loss asks for it", () => {
    const rows = [rated("one", "a?", true), rated("two", "a?", false), rated("three", "b?", true)];
    const step = stepOf("kto", rows);
    expect(text(learned(step))).toBe("one<end>two<end>three<end>three<end>three<end>two<end>");
    expect([...step.float32["desirable"]!]).toEqual([1, 0, 1]);
    expect([...step.int64["mismatched"]!]).toEqual([3n, 4n, 5n]);
    expect(stepOf("bco", rows).int64["mismatched"]).toBeUndefined();
  });

  test("come from pairs as well: the chosen one is desirable, the other is not", () => {
    const pair: DatasetRow = { kind: "pair", prompt: asked, chosen: "4", rejected: "5", place };
    expect([...stepOf("bco", [pair]).float32["desirable"]!]).toEqual([1, 0]);
  });

  test("are targets of a reward model: 1 and 0, or 1 and −1 for a hinge; rewards are their own", () => {
    const rows = [rated("one", "a?", true), rated("two", "a?", false)];
    const targets = (loss: string, some: readonly DatasetRow[]) => [
      ...stepOf(loss, some).float32["targets"]!,
    ];
    expect(targets("reward-classification", rows)).toEqual([1, 0]);
    expect(targets("reward-hinge", rows)).toEqual([1, -1]);
    const scored: DatasetRow = {
      kind: "supervised",
      prompt: asked,
      completion: "4",
      reward: 2.5,
      place,
    };
    expect(targets("reward-regression", [scored])).toEqual([2.5]);
    const { reward: _, ...unscored } = scored;
    expect(() => targets("reward-regression", [unscored])).toThrow("it has no reward to learn");
  });
});

/** Which differences count, and where the answer is taken from. */
import { expect, test } from "vitest";
import { exactMatch } from "../../src/rewards/exact-match.ts";
import { judging } from "./support.ts";

const verdict = (expected: string | string[], text: string, options = {}) =>
  judging(exactMatch, { expected, ...options })(text);

test("spelling does not count unless it is said to", async () => {
  expect(await verdict("1000", "The answer is $1,000.")).toBe(1);
  expect(await verdict("The Eiffel Tower", "Answer: eiffel  tower!")).toBe(1);
  expect(await verdict("1000", "The answer is $1,000.", { ignore: [] })).toBe(0);
  expect(await verdict("Paris", "Answer: Lyon")).toBe(0);
});

test.each([
  ["case", "THE CAT", "the cat"],
  ["punctuation", "it's", "its"],
  ["articles", "the cat", " cat"],
  ["whitespace", "a  b\n c", "a b c"],
])("%s counts unless it is ignored", async (ignored, written, expected) => {
  const others = { from: "whole", ignore: ignored === "articles" ? ["whitespace"] : [] };
  expect(await verdict(expected, written, others)).toBe(0);
  expect(await verdict(expected, written, { ...others, ignore: [...others.ignore, ignored] })).toBe(
    1,
  );
});

test("any of several expected answers is right", async () => {
  expect(await verdict(["yes", "true"], "Answer: True")).toBe(1);
  expect(await verdict(["yes", "true"], "Answer: no")).toBe(0);
});

test("the answer is taken from where it is said to stand", async () => {
  const text = "I first thought 7.\nResult = 8\n\\boxed{9}\nBye 10";
  expect(await verdict("9", text)).toBe(1);
  expect(await verdict("10", text, { from: "last-number" })).toBe(1);
  expect(await verdict("8", text, { from: "marker", marker: "result =" })).toBe(1);
  expect(await verdict("bye 10", text, { from: "last-line" })).toBe(1);
});

test("a text without an answer has a reward of its own, or that of a wrong one", async () => {
  const options = { from: "boxed", matched: 2, unmatched: -1.5 };
  expect(await verdict("9", "9", options)).toBe(-1.5);
  expect(await verdict("9", "9", { ...options, missing: -2 })).toBe(-2);
  expect(await verdict("9", "\\boxed{9}", { ...options, missing: -2 })).toBe(2);
});

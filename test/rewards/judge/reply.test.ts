/** What counts as a rating or a verdict in a judge's reply, and what does not. */
import { describe, expect, test } from "vitest";
import { readRating, readVerdict, replyForms } from "../../../src/rewards/judge/reply.ts";

const scale = { min: 1, max: 10 };

describe.each([
  {
    form: "rating" as const,
    clear: [
      ["Short but right. Rating: [[7]]", 7],
      ["[[ 7.5 ]]", 7.5],
      ["Rating: [[3]]. So I say [[3]].", 3],
      ["<think>maybe [[9]]?</think>Rating: [[2]]", 2],
    ],
    unclear: ["Rating: 7", "[7]", "[[seven]]", "[[11]]", "[[0]]", "It says [[10]], but: [[2]]", ""],
  },
  {
    form: "number" as const,
    clear: [
      ["7", 7],
      [" 7.5\n", 7.5],
    ],
    unclear: ["7/10", "7 of 10", "seven", "Score: 7", "11", "-1", "1e1", ""],
  },
  {
    form: "json" as const,
    clear: [
      ['{"score": 7}', 7],
      ['```json\n{"why": "good {sic}", "score": 7.5}\n```', 7.5],
    ],
    unclear: [
      '{"score": "7"}',
      '{"rating": 7}',
      '{"score": 7',
      '{"score": 70}',
      "[7]",
      "7",
      "}{",
      "",
    ],
  },
])("$form", ({ form, clear, unclear }) => {
  test.each(clear)("reads %j as %d", (reply, rating) => {
    expect(readRating(String(reply), replyForms[form], scale)).toBe(rating);
  });

  test.each(unclear)("finds no rating in %j", (reply) => {
    expect(readRating(reply, replyForms[form], scale)).toBeNull();
  });

  test("tells the judge the scale", () => {
    expect(replyForms[form].instruction({ min: 2, max: 5 })).toMatch(/from 2 to 5/);
  });
});

test("a verdict is one letter in brackets, and no other beside it", () => {
  expect(["[[A]]", "so [[B]].", "[[C]]"].map(readVerdict)).toEqual([1, 0, 0.5]);
  expect(["A", "[A]", "[[a]]", "[[D]]", "[[A]] or [[B]]", ""].map(readVerdict)).toEqual(
    Array(6).fill(null),
  );
});

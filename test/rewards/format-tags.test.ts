/** Tagged parts in order, once each, nothing outside. */
import { expect, test } from "vitest";
import { formatTags } from "../../src/rewards/format-tags.ts";
import { judging } from "./support.ts";

const right = "<think>2 + 2</think>\n<answer>4</answer>";

test.each<[string, number, number]>([
  // text, whole verdict, share: (parts in place + nothing outside) / 3
  [right, 1, 1],
  [` ${right}\n`, 1, 1],
  ["<answer>4</answer><think>2 + 2</think>", 0, 1 / 3],
  [`${right} Bye`, 0, 2 / 3],
  [`Hm ${right}`, 0, 2 / 3],
  ["<think>2</think><think>3</think><answer>4</answer>", 0, 1 / 3],
  ["<think>2<answer>4</answer></think>", 0, 1 / 3],
  ["<think>2 <answer>4</answer>", 0, 1 / 3],
  ["<think> </think><answer>4</answer>", 0, 2 / 3],
  ["<Think>2</Think><answer>4</answer>", 0, 1 / 3],
  ["4", 0, 0],
  ["", 0, 0],
])("%j is worth %d, and in parts %d", async (text, whole, share) => {
  expect(await judging(formatTags, {})(text)).toBe(whole);
  expect(await judging(formatTags, { partial: true })(text)).toBeCloseTo(share, 12);
});

test("the first tag may have been opened by the prompt", async () => {
  const score = judging(formatTags, { opened: true, matched: 1, unmatched: -1 });
  expect(await score("2 + 2</think><answer>4</answer>")).toBe(1);
  expect(await score(right)).toBe(-1);
});

test("empty parts and text outside are right where that is said", async () => {
  expect(
    await judging(formatTags, { allows_empty: true })("<think></think><answer> </answer>"),
  ).toBe(1);
  expect(await judging(formatTags, { allows_outside: true })(`So: ${right} Bye`)).toBe(1);
});

test("other tags are text", async () => {
  expect(await judging(formatTags, { tags: ["a-b"] })("<a-b><b>x</b></a-b>")).toBe(1);
});

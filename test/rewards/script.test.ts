/** Shares of letters, counted by hand. */
import { expect, test } from "vitest";
import { script } from "../../src/rewards/script.ts";
import { judging, made } from "./support.ts";

test.each<[string[], string, number]>([
  [["Latin"], "Straße 12!", 1],
  [["Cyrillic"], "Да, yes", 2 / 5],
  [["Han", "Hiragana", "Katakana"], "東京タワーへ", 1],
  [["Han"], "東京へ", 2 / 3],
  [["Latin"], "𝒳 x", 0.5], // a mathematical letter is of no script
  [["Devanagari"], "हि hi", 1 / 3],
])("of %j %j has %d", async (scripts, text, share) => {
  expect(await judging(script, { scripts })(text)).toBeCloseTo(share, 12);
});

test("there is no judgement without letters", async () => {
  expect(await judging(script, { scripts: ["Latin"] })("12 + 3 = 15")).toBeNaN();
});

test("an unfinished answer is judged alike", () => {
  expect(made(script, { scripts: ["Latin"] }).acceptsPrefixes).toBe(true);
});

test("a script that Unicode does not know is refused", () => {
  expect(() => made(script, { scripts: ["Klingon"] })).toThrow(/'Klingon' is no script/);
});

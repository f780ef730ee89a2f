/** Patterns, and that a hostile one costs its own request only. */
import { expect, test } from "vitest";
import { regex } from "../../src/rewards/regex.ts";
import { judging, made } from "./support.ts";

test("a match and its absence have their rewards, whatever was asked before", async () => {
  const score = judging(regex, { pattern: "^yes\\b", flags: "i", matched: 2, unmatched: -1 });
  expect([await score("Yes, so"), await score("yesterday"), await score("YES")]).toEqual([
    2, -1, 2,
  ]);
});

test("flags are the pattern's, those that remember are refused", async () => {
  expect(await judging(regex, { pattern: "a.b" })("a\nb")).toBe(0);
  expect(await judging(regex, { pattern: "a.b", flags: "s" })("a\nb")).toBe(1);
  expect(await judging(regex, { pattern: "^\\p{L}$", flags: "u" })("ß")).toBe(1);
  expect(() => made(regex, { pattern: "a", flags: "g" })).toThrow(/flags/);
});

test("a pattern that is none is refused with what is wrong with it", () => {
  expect(() => made(regex, { pattern: "(a" })).toThrow(/Unterminated group/);
  expect(() => made(regex, { pattern: "a", flags: "uv" })).toThrow(/flags/i);
});

test("a pattern whose time doubles with every character is ended, and the others go on", async () => {
  const hostile = judging(regex, { pattern: "^(a+)+$" });
  const started = performance.now();
  for (let i = 0; i < 64; i++) {
    await expect(hostile(`${"a".repeat(60)}!`)).rejects.toMatchObject({ code: "reward_too_slow" });
  }
  expect(performance.now() - started).toBeLessThan(3000);
  expect(await judging(regex, { pattern: "^(a+)+$" })("aaa")).toBe(1);
});

test("an answer within the time is judged after one that was not", async () => {
  const score = judging(regex, { pattern: "^(a+)+$" });
  await expect(score(`${"a".repeat(60)}!`)).rejects.toThrow(/100 ms/);
  expect(await score("aaa")).toBe(1);
});

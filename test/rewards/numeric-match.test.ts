/** Numbers with units and tolerances. Conversions: SI brochure, and definitions of the inch, pound and degree Fahrenheit. */
import { describe, expect, test } from "vitest";
import { numericMatch } from "../../src/rewards/numeric-match.ts";
import { judging, made } from "./support.ts";

const verdict = (expected: number | string, text: string, options = {}) =>
  judging(numericMatch, { expected, ...options })(text);

describe("a number is right", () => {
  test.each<[number | string, string]>([
    [72, "48 + 24 = 72 clips.\n#### 72"],
    [1234.5, "It is $1,234.50."],
    ["1/3", "\\boxed{\\frac{2}{6}}"],
    [0.0003, "about 3 × 10^{-4}"],
    [-7, "so x = −7"],
    [2.5, "2 1/2 cups"],
    [5, "\\boxed{x = 5 \\text{ km}}"],
    [5, "Answer: 5, since 2 + 3 are 5 and not 6"],
    ["5 km", "5 km"],
    ["5 km", "5000 metres"],
    ["5 km", "3.10685596 miles"],
    ["5 km", "the way is 5"],
    ["1 kg", "1000 g"],
    ["1 h", "60 minutes"],
    ["36 km/h", "10 m/s"],
    ["100 °C", "212 °F"],
    ["-40 °F", "\\boxed{-40^\\circ\\text{C}}"],
    ["0 °C", "273.15 K"],
    ["2 L", "2,000 ml"],
    ["1 kWh", "3.6 MJ"],
    ["2 m²", "2 square metres"],
    ["12 in", "1 foot"],
    ["16 oz", "1 pound"],
    ["90°", "1.5707963267948966 rad"],
    ["$1,200", "1200 dollars"],
    ["50%", "50 percent"],
  ])("%j in %j", async (expected, text) => {
    expect(await verdict(expected, text, { relative: 1e-8 })).toBe(1);
  });
});

describe("a number is wrong", () => {
  test.each<[number | string, string]>([
    [72, "#### 73"],
    [0.5, "50%"],
    ["50%", "0.5"],
    ["5 km", "5 m"],
    ["5 km", "5 kg"],
    ["5 MW", "5 mW of 5 kW"],
    ["$5", "5 euros"],
    [5, "\\boxed{six}"],
  ])("%j in %j", async (expected, text) => {
    expect(await verdict(expected, text)).toBe(0);
  });
});

test("the tolerance is the larger of the absolute one and the share of the expected number, both included", async () => {
  const near = { relative: 0.01, absolute: 0.5 };
  expect(await verdict(100, "101", near)).toBe(1);
  expect(await verdict(100, "101.01", near)).toBe(0);
  expect(await verdict(10, "10.5", near)).toBe(1);
  expect(await verdict(10, "9.49", near)).toBe(0);
  expect(await verdict(-100, "-101", near)).toBe(1);
});

test("a percentage is a share where that is asked, in both directions", async () => {
  const share = { percent_is_share: true };
  expect(await verdict(0.5, "50%", share)).toBe(1);
  expect(await verdict("50%", "0.5", share)).toBe(1);
  expect(await verdict("50%", "50", share)).toBe(0);
});

test("a number without unit is wrong where units are required", async () => {
  expect(await verdict("5 km", "5", { requires_unit: true })).toBe(0);
  expect(await verdict("5 km", "5 parsecs", { requires_unit: true })).toBe(0);
  expect(await verdict("5 km", "5 km", { requires_unit: true })).toBe(1);
});

test("a text without a number has the reward of a missing answer", async () => {
  const worth = { matched: 2, unmatched: -1.5, missing: -2 };
  expect(await verdict(5, "none at all", worth)).toBe(-2);
  expect(await verdict(5, "Five: 6", worth)).toBe(-1.5);
  expect(await verdict(5, "5", worth)).toBe(2);
});

test("an expectation that is not one number, or in no known unit, is refused", () => {
  expect(() => made(numericMatch, { expected: "five" })).toThrow(/'five' is not one number/);
  expect(() => made(numericMatch, { expected: "5 to 6" })).toThrow(/is not one number/);
  expect(() => made(numericMatch, { expected: "5 parsecs" })).toThrow(/'parsecs' is no unit/);
});

/** Step scores into one number. Figures: Xiao and Zhu's worked example of eqs. 10.83 and 10.84, and definitions. */
import { expect, test } from "vitest";
import { type AggregateName, createStepRule } from "../../src/rewards/step-rule.ts";

const right = [0.99, 0.97, 0.95, 0.98, 0.99];
const wrong = [0.98, 0.96, 0.2, 0.15, 0.9];
const rule = (aggregate: AggregateName, trims = false) =>
  createStepRule({ separator: "\n\n", trims, aggregate });

test.each<[AggregateName, number, number]>([
  ["count", 5, 3],
  ["log-sum", -0.12205588089678152, -3.6729431148155824],
  ["mean-log", -0.024411176179356304, -0.7345886229631164],
  ["min", 0.95, 0.15],
  ["last", 0.99, 0.9],
  ["mean", 0.976, 0.638],
  ["product", Math.exp(-0.12205588089678152), Math.exp(-3.6729431148155824)],
])("%s of five right steps is %d, with two wrong ones %d", (aggregate, first, second) => {
  expect(rule(aggregate).aggregate(right)).toBeCloseTo(first, 12);
  expect(rule(aggregate).aggregate(wrong)).toBeCloseTo(second, 12);
});

test("one step without judgement leaves the answer without", () => {
  expect(rule("last").aggregate([Number.NaN, 0.9])).toBeNaN();
  expect(rule("count").aggregate([])).toBeNaN();
});

test("steps are what stands between separators, blank ones left out, and trimmed where asked", () => {
  expect(rule("last").split("a\n\n b \n\n\n\n  \n\nc\nd\n\n")).toEqual(["a", " b ", "c\nd"]);
  expect(rule("last", true).split("a\n\n b \n\nc")).toEqual(["a", "b", "c"]);
});

/** Answers into steps, and the steps' scores into one number. */
import { assert } from "../base/assert.ts";
import type { StepRule } from "./define.ts";

/** @param scores [n ≥ 1] probabilities that a step is right. */
type Aggregate = (scores: readonly number[]) => number;

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const logSum: Aggregate = (scores) => sum(scores.map(Math.log));

/**
 * `last`: search-and-learn's; `min`: Math-Shepherd's, arXiv:2312.08935; `product`: Qwen2.5-Math-PRM's,
 * arXiv:2501.07301; `mean`: RLHFlow's. `log-sum` and `count`: Xiao and Zhu, "Natural Language
 * Processing", eqs. 10.84 and 10.83; the one falls and the other rises with every further step, `mean-log` does neither.
 */
export const aggregates = {
  last: (scores) => scores.at(-1)!,
  min: (scores) => Math.min(...scores),
  product: (scores) => scores.reduce((product, score) => product * score, 1),
  mean: (scores) => sum(scores) / scores.length,
  "log-sum": logSum,
  "mean-log": (scores) => logSum(scores) / scores.length,
  /** Steps more probably right than wrong. */
  count: (scores) => scores.filter((score) => score > 0.5).length,
} as const satisfies Record<string, Aggregate>;
export type AggregateName = keyof typeof aggregates;

/** In the order of documentation. */
export const aggregateNames = [
  "last",
  "min",
  "product",
  "mean",
  "log-sum",
  "mean-log",
  "count",
] as const satisfies readonly AggregateName[];

export function createStepRule({
  separator,
  trims,
  aggregate,
}: {
  separator: string;
  /** White space around a step is not the model's to read. */
  trims: boolean;
  aggregate: AggregateName;
}): StepRule {
  assert(separator !== "", "steps need a separator");
  return {
    separator,
    split: (text) =>
      text
        .split(separator)
        .filter((step) => step.trim() !== "")
        .map((step) => (trims ? step.trim() : step)),
    aggregate: (scores) =>
      scores.length === 0 || scores.some(Number.isNaN) ? Number.NaN : aggregates[aggregate](scores),
  };
}

/**
 * Gold reward of a solution, exact and total: any text has one.
 *
 *   answer  +1 right · −1 wrong or contradictory · −0.5 none
 *   steps   in [−1, 1]: Σ over written steps / number of expected steps; +1 right, 0 correctly computed from
 *           an earlier mistake, −1 wrong, out of place or one too many
 *   form    in [−1, 0]: −0.25 for each line that is neither a step nor the single, last answer
 *
 * Total in [−3, 2]; 2 is reached by complete right solutions only.
 */
import type { ArithmeticFacts, GoldReward, Operation, Step } from "../types.ts";
import { compute } from "./problem.ts";

export function goldOfSolution(facts: ArithmeticFacts, text: string): GoldReward {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const written = lines.map(readStep).filter((step) => step !== null);
  const answers = lines.map(readAnswer).filter((answer) => answer !== null);
  const isLast = lines.length > 0 && readAnswer(lines.at(-1)!) !== null;
  const strange = lines.length - written.length - answers.length;
  const untidy =
    strange + Math.max(0, answers.length - 1) + (answers.length > 0 && !isLast ? 1 : 0);
  const parts = {
    answer: scoreAnswers(answers, facts.answer),
    steps: scoreSteps(facts.steps, written),
    form: Math.max(-1, 0 - 0.25 * untidy),
  };
  return { total: parts.answer + parts.steps + parts.form, parts, correct: parts.answer === 1 };
}

interface WrittenStep {
  readonly left: number;
  readonly operation: Operation;
  readonly right: number;
  readonly result: number;
}

// Six digits at most: no number a solution needs is longer, and none then leaves the exact integers.
const stepPattern = /^(?:[A-Z][a-z ]{0,30}: )?(\d{1,6}) ([+*-]) (\d{1,6}) = (\d{1,6})\.$/;

function readStep(line: string): WrittenStep | null {
  const match = stepPattern.exec(line);
  if (!match) return null;
  const [, left, operation, right, result] = match;
  return {
    left: Number(left),
    operation: operation as Operation, // the pattern admits no other
    right: Number(right),
    result: Number(result),
  };
}

function readAnswer(line: string): number | null {
  const match = /^Answer: (\d{1,6})$/.exec(line);
  return match ? Number(match[1]) : null;
}

function scoreAnswers(answers: readonly number[], right: number): number {
  if (answers.length === 0) return -0.5;
  return answers.every((answer) => answer === right) ? 1 : -1;
}

/**
 * Each written step claims the first open expected step that it carries out on the results written so far
 * (sums and products in either order). One that claims none is wrong; its result stands in for that of the
 * next expected step until a later line claims it, so that what follows from a mistake is not wrong again.
 */
function scoreSteps(expected: readonly Step[], written: readonly WrittenStep[]): number {
  const results = expected.map(() => null as number | null); // as written, by expected step
  const claimed = expected.map(() => false);
  let sum = 0;
  for (const step of written) {
    const k = expected.findIndex((want, i) => !claimed[i] && carriesOut(step, want, results));
    const place = k >= 0 ? k : results.indexOf(null);
    sum += k < 0 ? -1 : judge(step, expected[k]!);
    if (k >= 0) claimed[k] = true;
    if (place >= 0) results[place] = step.result;
  }
  return Math.max(-1, sum / expected.length);
}

function carriesOut(step: WrittenStep, want: Step, results: readonly (number | null)[]): boolean {
  if (step.operation !== want.operation) return false;
  const [left, right] = [want.left, want.right].map((operand) =>
    operand.step === null ? operand.value : results[operand.step],
  );
  if (step.left === left && step.right === right) return true;
  return want.operation !== "-" && step.left === right && step.right === left;
}

function judge(step: WrittenStep, want: Step): number {
  if (step.result !== compute(step.left, step.operation, step.right)) return -1;
  return step.result === want.result ? 1 : 0;
}

/** What no training can use, however well it is written: empty answers, pairs of equal ones, rewards that are none. */
import { RowFault } from "./fault.ts";
import { sameText } from "./prompt.ts";
import type { DatasetRow, StepsRow } from "./types.ts";

/** @throws RowFault empty_answer, equal_answers, no_reward */
export function checkRow(row: DatasetRow): void {
  switch (row.kind) {
    case "supervised":
      refuseEmpty(row.completion, "completion");
      refuseNaN(row.reward, "reward");
      break;
    case "rated":
      refuseEmpty(row.completion, "completion");
      break;
    case "pair":
      refuseEmpty(row.chosen, "chosen");
      refuseEmpty(row.rejected, "rejected");
      refuseNaN(row.margin, "margin");
      if (sameText(row.chosen, row.rejected)) {
        throw new RowFault("equal_answers", null, "the chosen and the rejected answer are equal");
      }
      break;
    case "list":
      checkList(row.completions, row.rewards);
      break;
    case "steps":
      checkSteps(row);
      break;
    case "prompt":
      break;
  }
}

function checkSteps({ steps, labels, scale }: StepsRow): void {
  const name = scale === "right" ? "labels" : "ratings";
  if (steps.length !== labels.length) {
    const problem = `there are ${steps.length} steps and ${labels.length} ${name}`;
    throw new RowFault("wrong_field", name, problem);
  }
  for (const [i, step] of steps.entries()) refuseEmpty(step, `completions.${i}`);
  if (!labels.some(Number.isFinite)) throw new RowFault("no_reward", name, "judges no step");
  const wrong = scale === "right" ? labels.find((label) => label < 0 || label > 1) : undefined;
  if (wrong === undefined) return;
  const problem = `${wrong} is neither true, false nor a probability; other scales go into 'ratings'`;
  throw new RowFault("wrong_field", name, problem);
}

/** Single answers without a reward, or empty, are left out where lists are used. */
function checkList(completions: readonly string[], rewards: readonly number[]): void {
  if (completions.length !== rewards.length) {
    const problem = `there are ${completions.length} answers and ${rewards.length} rewards`;
    throw new RowFault("wrong_field", "rewards", problem);
  }
  if (completions.every((each) => each.trim() === "")) {
    throw new RowFault("empty_answer", "completions", "has no answer that is not empty");
  }
  if (!rewards.some(Number.isFinite)) {
    throw new RowFault("no_reward", "rewards", "has no reward that is a number");
  }
}

function refuseEmpty(answer: string, field: string): void {
  if (answer.trim() === "") throw new RowFault("empty_answer", field, "is empty");
}

function refuseNaN(value: number | undefined, field: string): void {
  if (value === undefined || Number.isFinite(value)) return;
  throw new RowFault("no_reward", field, `is ${value}, and must be a finite number`);
}

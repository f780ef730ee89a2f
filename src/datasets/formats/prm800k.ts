/**
 * PRM800K as published: a solution grown step by step, of each step several candidates with a rating of −1, 0 or 1, of which
 * one was gone on with. One row is the way that was gone, and one each candidate that was left, with the steps before it,
 * whose ratings the first row has.
 * Source: Lightman et al., arXiv:2305.20050; github.com/openai/prm800k, README.md.
 */
import { isGiven, isObject, listOf, numberOf, objectOf, requiredAt, textOf } from "../fields.ts";
import type { StepsRow } from "../types.ts";
import type { DatasetFormat, Fields } from "./define.ts";

export const prm800k: DatasetFormat = {
  name: "prm800k",
  source: "PRM800K",
  kinds: ["steps"],
  fields: [
    "question",
    "label",
    "labeler",
    "timestamp",
    "generation",
    "is_quality_control_question",
    "is_initial_screening_question",
  ],
  recognises: ({ question, label }) =>
    isObject(question) && isObject(label) && Array.isArray(label["steps"]),
  read(fields, { place }) {
    const question = objectOf(requiredAt(fields, "question"), "question");
    const problem = textOf(requiredAt(question, "problem", "question.problem"), "question.problem");
    const label = objectOf(requiredAt(fields, "label"), "label");
    const prompt = { messages: [{ role: "user", content: problem }] };
    const { way, left } = readSteps(listOf(requiredAt(label, "steps"), "label.steps"));
    const row = (judged: readonly Judged[]): StepsRow => ({
      kind: "steps",
      prompt,
      steps: judged.map(({ text }) => text),
      labels: judged.map(({ rating }) => rating),
      scale: "rating",
      place,
    });
    return [way, ...left].filter((judged) => judged.some(isRated)).map(row);
  },
};

interface Judged {
  readonly text: string;
  /** NaN: none was given, or another row has it. */
  readonly rating: number;
}

const isRated = ({ rating }: Judged) => Number.isFinite(rating);

/** The steps that were gone on with, and each other candidate behind those before it. */
function readSteps(steps: readonly unknown[]): { way: Judged[]; left: Judged[][] } {
  const way: Judged[] = [];
  const left: Judged[][] = [];
  for (const [i, value] of steps.entries()) {
    const path = `label.steps.${i}`;
    const step = objectOf(value, path);
    const candidates = listOf(step["completions"] ?? [], `${path}.completions`).map((each, k) =>
      judgedOf(objectOf(each, `${path}.completions.${k}`), `${path}.completions.${k}`),
    );
    const before = way.map(({ text }) => ({ text, rating: Number.NaN }));
    const at = chosenIn(step, candidates, `${path}.chosen_completion`);
    for (const [k, candidate] of candidates.entries())
      if (k !== at) left.push([...before, candidate]);
    const human = isGiven(step["human_completion"])
      ? judgedOf(objectOf(step["human_completion"], `${path}.human_completion`), path)
      : null;
    const next = at === null ? human : candidates[at]!;
    if (next === null) break; // the solution was given up here
    way.push(next);
  }
  return { way, left };
}

/** The first where the file says nothing and there is but one, as in its last steps. */
function chosenIn(step: Fields, candidates: readonly Judged[], path: string): number | null {
  const { chosen_completion: chosen } = step;
  if (!isGiven(chosen)) return null;
  const at = numberOf(chosen, path);
  return candidates[at] ? at : null;
}

function judgedOf(fields: Fields, path: string): Judged {
  const { rating } = fields;
  return {
    text: textOf(requiredAt(fields, "text", `${path}.text`), `${path}.text`),
    rating: isGiven(rating) ? numberOf(rating, `${path}.rating`) : Number.NaN,
  };
}

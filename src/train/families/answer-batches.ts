/** Examples of compared answers → arrays. An answer is packed and scored once, however often it is compared. */
import { assert } from "../../base/assert.ts";
import { type StepData, supervisedStep } from "../batches.ts";

/** An answer to a prompt, with what the reference policy says of it. */
export interface Answer {
  readonly prompt: readonly number[];
  /** Not empty. */
  readonly completion: readonly number[];
  /** log π_ref(completion | prompt), summed over the completion's tokens; 0 for losses without a reference. */
  readonly reference: number;
}

/** Answers to one prompt, and which of two of them was preferred. */
export interface PreferenceGroup {
  readonly prompt: readonly number[];
  readonly answers: readonly Omit<Answer, "prompt">[];
  /** Indices into `answers`. */
  readonly pairs: readonly { readonly chosen: number; readonly rejected: number }[];
}

/**
 * The tokens of every answer, which answer each belongs to, and the reference's log-probabilities.
 * @throws InvariantError for an empty prompt or answer, or a reference that is not a finite number.
 */
export function answerStep(answers: readonly Answer[], tokensPerRow: number): StepData {
  for (const { completion, reference } of answers) {
    assert(completion.length > 0, "an answer is empty");
    assert(Number.isFinite(reference), `a reference log-probability is ${reference}`);
  }
  const step = supervisedStep(answers, tokensPerRow);
  const owners = answers.flatMap(({ completion }, i) => completion.map(() => BigInt(i)));
  return {
    packed: step.packed,
    int64: { ...step.int64, owners: BigInt64Array.from(owners) },
    float32: {
      ...step.float32,
      references: Float32Array.from(answers, ({ reference }) => reference),
    },
  };
}

/** @throws InvariantError when there is no pair, or a pair names an answer that its group lacks. */
export function pairStep(groups: readonly PreferenceGroup[], tokensPerRow: number): StepData {
  const answers = groups.flatMap(({ prompt, answers }) =>
    answers.map((answer) => ({ ...answer, prompt })),
  );
  const chosen: bigint[] = [];
  const rejected: bigint[] = [];
  let first = 0;
  for (const group of groups) {
    for (const pair of group.pairs) {
      for (const each of [pair.chosen, pair.rejected])
        assert(group.answers[each], `a pair names answer ${each} of ${group.answers.length}`);
      chosen.push(BigInt(first + pair.chosen));
      rejected.push(BigInt(first + pair.rejected));
    }
    first += group.answers.length;
  }
  assert(chosen.length > 0, "there is no pair to learn from");
  const step = answerStep(answers, tokensPerRow);
  const pairs = { chosen: BigInt64Array.from(chosen), rejected: BigInt64Array.from(rejected) };
  return { ...step, int64: { ...step.int64, ...pairs } };
}

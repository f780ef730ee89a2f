/** What rewards that compare an answer with an expected one share: where the answer stands, and what a verdict is worth. */
import { Type } from "typebox";
import { answerPlaces } from "./answers.ts";

export const worthOptions = {
  matched: Type.Number({ default: 1, description: "reward of what is right" }),
  unmatched: Type.Number({ default: 0, description: "reward of what is not" }),
};

/** From the least to the most that a verdict is worth. */
export const rangeOf = (...worths: readonly number[]): readonly [number, number] => [
  Math.min(...worths),
  Math.max(...worths),
];

/** What a share in [0, 1] of what is right is worth. */
export const worthOf = (
  share: number,
  worth: { readonly matched: number; readonly unmatched: number },
) => worth.unmatched + (worth.matched - worth.unmatched) * share;

export const answerOptions = {
  from: Type.Enum([...answerPlaces], {
    default: "auto",
    description: "where the answer stands in the text",
  }),
  marker: Type.String({
    minLength: 1,
    maxLength: 100,
    default: "Answer:",
    description: "what it follows, for 'marker'",
  }),
  ...worthOptions,
  missing: Type.Optional(
    Type.Number({
      description: "reward of a text without an answer; that of a wrong one unless given",
    }),
  ),
};

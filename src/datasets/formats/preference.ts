/** TRL's preference: a chosen and a rejected answer, texts or messages; without a prompt, what both begin with is it. */
import { flagOf, isGiven, optionalNumberAt, promptOf, requiredAt } from "../fields.ts";
import type { PairRow } from "../types.ts";
import { pairTo, writtenAnswer, writtenPrompt } from "./answers.ts";
import { type DatasetFormat, type Fields, wantKind } from "./define.ts";

export const preference: DatasetFormat = {
  name: "preference",
  source: "TRL's preference, UltraFeedback binarized",
  kinds: ["pair"],
  fields: [
    "prompt",
    "chosen",
    "rejected",
    "margin",
    "demonstrated",
    "score_chosen",
    "score_rejected",
    "prompt_id", // these two repeat what stands in the others
    "messages",
  ],
  recognises: (fields) => isGiven(fields["chosen"]) && isGiven(fields["rejected"]),
  read(fields, { place }) {
    const [chosen, rejected] = [requiredAt(fields, "chosen"), requiredAt(fields, "rejected")];
    const margin = marginOf(fields);
    const { demonstrated } = fields;
    const isDemonstrated = isGiven(demonstrated) && flagOf(demonstrated, "demonstrated");
    return [
      {
        kind: "pair",
        ...answersOf(fields, chosen, rejected),
        ...(margin === undefined ? {} : { margin }),
        ...(isDemonstrated ? { demonstrated: true as const } : {}),
        place,
      },
    ];
  },
  write(row) {
    const { prompt, chosen, rejected, margin, demonstrated } = wantKind(row, "pair");
    return {
      prompt: writtenPrompt(prompt),
      chosen: writtenAnswer(prompt, chosen),
      rejected: writtenAnswer(prompt, rejected),
      ...(margin === undefined ? {} : { margin }),
      ...(demonstrated ? { demonstrated } : {}),
    };
  },
};

function answersOf(
  fields: Fields,
  chosen: unknown,
  rejected: unknown,
): Pick<PairRow, "prompt" | "chosen" | "rejected"> {
  const { prompt } = fields;
  if (isGiven(prompt)) return pairTo(promptOf(prompt, "prompt"), { chosen, rejected });
  if (typeof chosen !== "string" || typeof rejected !== "string") {
    return pairTo({ messages: [] }, { chosen, rejected });
  }
  const length = sharedLength(chosen, rejected);
  return {
    prompt: { text: chosen.slice(0, length) },
    chosen: chosen.slice(length),
    rejected: rejected.slice(length),
  };
}

function marginOf(fields: Fields): number | undefined {
  const margin = optionalNumberAt(fields, "margin");
  if (margin !== undefined) return margin;
  const chosen = optionalNumberAt(fields, "score_chosen");
  const rejected = optionalNumberAt(fields, "score_rejected");
  return chosen === undefined || rejected === undefined ? undefined : chosen - rejected;
}

/** Characters that both begin with, less a space at the end, as in TRL's `extract_prompt`; no code point is cut. */
function sharedLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  if (/[\uD800-\uDBFF]/.test(a[length - 1] ?? "")) length--;
  return a[length - 1] === " " ? length - 1 : length;
}

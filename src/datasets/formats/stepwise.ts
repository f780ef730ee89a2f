/** TRL's stepwise supervision: an answer in steps, each right or wrong; `ratings` in place of `labels` for any other scale. */
import { RowFault } from "../fault.ts";
import { isGiven, listOf, numberOf, promptOf, requiredAt, textOf } from "../fields.ts";
import { writtenPrompt } from "./answers.ts";
import { type DatasetFormat, type Fields, wantKind } from "./define.ts";

export const stepwise: DatasetFormat = {
  name: "stepwise",
  source: "TRL's stepwise supervision",
  kinds: ["steps"],
  fields: ["prompt", "completions", "labels", "ratings"],
  recognises: (fields) =>
    Array.isArray(fields["completions"]) &&
    (Array.isArray(fields["labels"]) || Array.isArray(fields["ratings"])),
  read(fields, { place }) {
    const prompt = promptOf(requiredAt(fields, "prompt"), "prompt");
    const steps = listOf(requiredAt(fields, "completions"), "completions").map((step, i) =>
      textOf(step, `completions.${i}`),
    );
    const scale = isGiven(fields["ratings"]) ? "rating" : "right";
    return [{ kind: "steps", prompt, steps, scale, labels: labelsOf(fields, scale), place }];
  },
  write(row) {
    const { prompt, steps, labels, scale } = wantKind(row, "steps");
    const isSure = scale === "right" && labels.every((label) => label === 0 || label === 1);
    const written = isSure ? labels.map((label) => label === 1) : labels;
    const given = scale === "right" ? { labels: written } : { ratings: written };
    return { prompt: writtenPrompt(prompt), completions: steps, ...given };
  },
};

/** true and false are 1 and 0; a number between is how likely the step is right, or was in roll-outs. */
function labelsOf(fields: Fields, scale: "right" | "rating"): number[] {
  const name = scale === "right" ? "labels" : "ratings";
  if (scale === "rating" && isGiven(fields["labels"]))
    throw new RowFault("wrong_field", "labels", "stands beside 'ratings'; give one of the two");
  return listOf(requiredAt(fields, name), name).map((label, i) =>
    typeof label === "boolean" ? Number(label) : numberOf(label, `${name}.${i}`),
  );
}

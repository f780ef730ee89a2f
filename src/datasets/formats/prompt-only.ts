/** TRL's prompts without answers; the right answer may stand beside each, under one of its usual names. */
import { isGiven, promptOf, requiredAt, textOf } from "../fields.ts";
import { writtenPrompt } from "./answers.ts";
import { type DatasetFormat, wantKind } from "./define.ts";

const ANSWER_NAMES = ["answer", "solution", "ground_truth"];

export const promptOnly: DatasetFormat = {
  name: "prompt-only",
  source: "TRL's prompt-only",
  kinds: ["prompt"],
  fields: ["prompt", ...ANSWER_NAMES],
  recognises: (fields) => isGiven(fields["prompt"]),
  read(fields, { place }) {
    const prompt = promptOf(requiredAt(fields, "prompt"), "prompt");
    const name = ANSWER_NAMES.find((each) => isGiven(fields[each]));
    const answer = name === undefined ? {} : { answer: textOf(fields[name], name) };
    return [{ kind: "prompt", prompt, ...answer, place }];
  },
  write(row) {
    const { prompt, answer } = wantKind(row, "prompt");
    return { prompt: writtenPrompt(prompt), ...(answer === undefined ? {} : { answer }) };
  },
};

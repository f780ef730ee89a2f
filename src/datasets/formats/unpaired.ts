/** TRL's unpaired preference: an answer, and whether it is a good one. */
import { flagOf, isGiven, promptOf, requiredAt } from "../fields.ts";
import { singleAnswerTo, writtenAnswer, writtenPrompt } from "./answers.ts";
import { type DatasetFormat, wantKind } from "./define.ts";

export const unpaired: DatasetFormat = {
  name: "unpaired",
  source: "TRL's unpaired preference",
  kinds: ["rated"],
  fields: ["prompt", "completion", "label"],
  recognises: (fields) => isGiven(fields["completion"]) && isGiven(fields["label"]),
  read(fields, { place }) {
    const asked = promptOf(requiredAt(fields, "prompt"), "prompt");
    const { prompt, completion } = singleAnswerTo(
      asked,
      requiredAt(fields, "completion"),
      "completion",
    );
    const desirable = flagOf(requiredAt(fields, "label"), "label");
    return [{ kind: "rated", prompt, completion, desirable, place }];
  },
  write(row) {
    const { prompt, completion, desirable } = wantKind(row, "rated");
    return {
      prompt: writtenPrompt(prompt),
      completion: writtenAnswer(prompt, completion),
      label: desirable,
    };
  },
};

/** TRL's standard language modelling: one text, all of it to be imitated. */
import { RowFault } from "../fault.ts";
import { isGiven, requiredAt, textOf } from "../fields.ts";
import { type DatasetFormat, wantKind } from "./define.ts";

export const textFormat: DatasetFormat = {
  name: "text",
  source: "TRL's language modelling",
  kinds: ["supervised"],
  fields: ["text"],
  recognises: (fields) => isGiven(fields["text"]),
  read(fields, { place }) {
    const completion = textOf(requiredAt(fields, "text"), "text");
    return [{ kind: "supervised", prompt: { text: "" }, completion, place }];
  },
  write(row) {
    const { prompt, completion } = wantKind(row, "supervised");
    if ("text" in prompt && prompt.text === "") return { text: completion };
    throw new RowFault("wrong_field", null, "has a prompt, and this format has none");
  },
};

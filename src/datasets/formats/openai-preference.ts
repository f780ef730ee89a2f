/** OpenAI's preference format for fine-tuning: a conversation with a preferred and a non-preferred output. */
import { RowFault } from "../fault.ts";
import { isGiven, messagesOf, objectOf, requiredAt } from "../fields.ts";
import { pairTo, writtenAnswer } from "./answers.ts";
import { type DatasetFormat, wantKind } from "./define.ts";

export const openaiPreference: DatasetFormat = {
  name: "openai-preference",
  source: "OpenAI's preference format",
  kinds: ["pair"],
  fields: ["input", "preferred_output", "non_preferred_output"],
  recognises: (fields) =>
    isGiven(fields["preferred_output"]) && isGiven(fields["non_preferred_output"]),
  read(fields, { place }) {
    const input = objectOf(requiredAt(fields, "input"), "input");
    const messages = messagesOf(requiredAt(input, "messages", "input.messages"), "input.messages");
    const pair = pairTo(
      { messages },
      {
        preferred_output: requiredAt(fields, "preferred_output"),
        non_preferred_output: requiredAt(fields, "non_preferred_output"),
      },
    );
    return [{ kind: "pair", ...pair, place }];
  },
  write(row) {
    const { prompt, chosen, rejected } = wantKind(row, "pair");
    if ("text" in prompt) throw new RowFault("wrong_field", null, "has a bare text for a prompt");
    return {
      input: { messages: prompt.messages },
      preferred_output: writtenAnswer(prompt, chosen),
      non_preferred_output: writtenAnswer(prompt, rejected),
    };
  },
};

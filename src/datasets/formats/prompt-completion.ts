/** TRL's and OpenAI's prompt and completion, each a text or a list of messages; ours may carry a reward. */
import { RowFault } from "../fault.ts";
import { isGiven, optionalNumberAt, promptOf, requiredAt } from "../fields.ts";
import type { SupervisedRow } from "../types.ts";
import { answerTo, assistantTurns, writtenAnswer, writtenPrompt } from "./answers.ts";
import { type DatasetFormat, wantKind } from "./define.ts";

export const promptCompletion: DatasetFormat = {
  name: "prompt-completion",
  source: "TRL's prompt-completion, OpenAI's completions",
  kinds: ["supervised"],
  fields: ["prompt", "completion", "reward"],
  recognises: (fields) =>
    isGiven(fields["prompt"]) && isGiven(fields["completion"]) && !isGiven(fields["label"]),
  read(fields, { place }) {
    const prompt = promptOf(requiredAt(fields, "prompt"), "prompt");
    const answer = answerTo(prompt, requiredAt(fields, "completion"), "completion");
    const reward = optionalNumberAt(fields, "reward");
    return [{ kind: "supervised", ...answer, ...(reward === undefined ? {} : { reward }), place }];
  },
  write(row) {
    const supervised = wantKind(row, "supervised");
    const { reward } = supervised;
    return { ...written(supervised), ...(reward === undefined ? {} : { reward }) };
  },
};

/** The completion begins with the first turn that is trained; from there on all must be. */
function written({ prompt, completion, trainedTurns = [] }: SupervisedRow) {
  const [first] = trainedTurns;
  if (first === undefined || "text" in prompt) {
    return { prompt: writtenPrompt(prompt), completion: writtenAnswer(prompt, completion) };
  }
  const { messages } = prompt;
  if (first === 0 || assistantTurns(messages, first).length !== trainedTurns.length) {
    const problem = "trains turns that only the format 'messages' can tell apart";
    throw new RowFault("wrong_field", null, problem);
  }
  return {
    prompt: messages.slice(0, first),
    completion: [...messages.slice(first), { role: "assistant", content: completion }],
  };
}

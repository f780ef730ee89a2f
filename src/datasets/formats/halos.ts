/** What HALOs' `label.py` writes: judged samples, pairs of them, or samples with a label; told apart by `type`. */
import { RowFault } from "../fault.ts";
import {
  flagOf,
  isGiven,
  numberOf,
  optionalNumberAt,
  promptOf,
  requiredAt,
  textOf,
} from "../fields.ts";
import { promptKey } from "../prompt.ts";
import type { DatasetPrompt, DatasetRow } from "../types.ts";
import { pairTo, singleAnswerTo, writtenAnswer } from "./answers.ts";
import { type DatasetFormat, type Fields, type ReadContext, wantKind } from "./define.ts";

const TYPES = ["pairwise_feedback", "binary_feedback", "scalar_feedback"];

/**
 * Source: github.com/ContextualAI/HALOs, train/label.py and `get_feedback` of train/data.py: A is preferred where the label
 * is 1; the loader wants both rewards of a pair, and one of a labelled sample.
 */
export const halos: DatasetFormat = {
  name: "halos",
  source: "HALOs' feedback files",
  kinds: ["pair", "rated", "supervised"],
  fields: [
    "type",
    "prompt",
    "prompt_id",
    "instruction",
    "split",
    "label",
    "output",
    "reward",
    "output_A",
    "output_B",
    "reward_A",
    "reward_B",
    "reward_difference",
  ],
  recognises: (fields) => TYPES.some((type) => type === fields["type"]),
  read(fields, { place }) {
    const prompt = promptOf(requiredAt(fields, "prompt"), "prompt");
    const type = textOf(requiredAt(fields, "type"), "type");
    if (type === "pairwise_feedback") return [pairOf(fields, prompt, place)];
    const answer = singleAnswerTo(prompt, requiredAt(fields, "output"), "output");
    if (type === "binary_feedback") {
      const desirable = flagOf(requiredAt(fields, "label"), "label");
      return [{ kind: "rated", ...answer, desirable, place }];
    }
    if (type === "scalar_feedback") {
      const reward = numberOf(requiredAt(fields, "reward"), "reward");
      return [{ kind: "supervised", ...answer, reward, place }];
    }
    throw new RowFault("wrong_field", "type", `must be one of ${TYPES.join(", ")}, not '${type}'`);
  },
  write(row) {
    const { prompt } = row;
    if ("text" in prompt) throw new RowFault("wrong_field", null, "has a bare text for a prompt");
    const asked = { prompt_id: promptKey(prompt).slice(0, 16), prompt: prompt.messages };
    return { ...asked, ...feedbackOf(row) };
  },
};

function pairOf(fields: Fields, asked: DatasetPrompt, place: ReadContext["place"]): DatasetRow {
  const [first, second] = [requiredAt(fields, "output_A"), requiredAt(fields, "output_B")];
  const isFirst = flagOf(requiredAt(fields, "label"), "label");
  const { prompt, chosen, rejected } = pairTo(asked, { output_A: first, output_B: second });
  const margin = optionalNumberAt(fields, "reward_difference");
  return {
    kind: "pair",
    prompt,
    chosen: isFirst ? chosen : rejected,
    rejected: isFirst ? rejected : chosen,
    ...(margin === undefined ? {} : { margin }),
    place,
  };
}

function feedbackOf(row: DatasetRow): Fields {
  if (row.kind === "pair") {
    const { prompt, chosen, rejected, margin } = row;
    return {
      type: "pairwise_feedback",
      output_A: writtenAnswer(prompt, chosen),
      output_B: writtenAnswer(prompt, rejected),
      label: 1,
      reward_A: margin ?? 1,
      reward_B: 0,
      ...(margin === undefined ? {} : { reward_difference: margin }),
    };
  }
  if (row.kind === "rated") {
    const { prompt, completion, desirable } = row;
    const label = desirable ? 1 : 0;
    const output = writtenAnswer(prompt, completion);
    return { type: "binary_feedback", output, label, reward: label };
  }
  const { prompt, completion, reward, trainedTurns } = wantKind(row, "supervised");
  if (!isGiven(reward)) throw new RowFault("no_reward", null, "has no reward");
  if (trainedTurns) throw new RowFault("wrong_field", null, "trains several turns");
  return { type: "scalar_feedback", output: writtenAnswer(prompt, completion), reward };
}

/** Several answers to a prompt with their rewards, under the names of RLHFlow and RRHF as well. */
import { RowFault } from "../fault.ts";
import { isGiven, listOf, numberOf, promptOf, requiredAt } from "../fields.ts";
import type { DatasetPrompt } from "../types.ts";
import { samePrompt, singleAnswerTo, writtenPrompt } from "./answers.ts";
import { type DatasetFormat, type Fields, wantKind } from "./define.ts";

const PROMPT_NAMES = ["prompt", "query"];
const ANSWER_NAMES = ["completions", "responses"];
const REWARD_NAMES = ["rewards", "scores"];

export const listFormat: DatasetFormat = {
  name: "list",
  source: "best-of-n rows; RLHFlow's and RRHF's names",
  kinds: ["list"],
  fields: [...PROMPT_NAMES, ...ANSWER_NAMES, ...REWARD_NAMES],
  recognises: (fields) =>
    ANSWER_NAMES.some((name) => Array.isArray(fields[name])) &&
    REWARD_NAMES.some((name) => Array.isArray(fields[name])),
  read(fields, { place }) {
    const [promptName, answerName, rewardName] = [PROMPT_NAMES, ANSWER_NAMES, REWARD_NAMES].map(
      (names) => nameIn(fields, names),
    ) as [string, string, string]; // three lists of names give three names
    const asked = promptOf(requiredAt(fields, promptName), promptName);
    const answers = listOf(requiredAt(fields, answerName), answerName).map((answer, i) =>
      singleAnswerTo(asked, answer, `${answerName}.${i}`),
    );
    const rewards = listOf(requiredAt(fields, rewardName), rewardName).map((reward, i) =>
      numberOf(reward, `${rewardName}.${i}`),
    );
    const prompt = commonPrompt(
      asked,
      answers.map((answer) => answer.prompt),
      answerName,
    );
    const completions = answers.map(({ completion }) => completion);
    return [{ kind: "list", prompt, completions, rewards, place }];
  },
  write(row) {
    const { prompt, completions, rewards } = wantKind(row, "list");
    return { prompt: writtenPrompt(prompt), completions, rewards };
  },
};

/** The one that is given, else the first, to be missed. */
const nameIn = (fields: Fields, names: readonly string[]): string =>
  names.find((name) => isGiven(fields[name])) ?? names[0]!;

function commonPrompt(
  asked: DatasetPrompt,
  prompts: readonly DatasetPrompt[],
  field: string,
): DatasetPrompt {
  const [first = asked] = prompts;
  const other = prompts.findIndex((prompt) => !samePrompt(prompt, first));
  if (other < 0) return first;
  throw new RowFault("wrong_field", `${field}.${other}`, "answers another prompt than the first");
}

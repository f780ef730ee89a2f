/** Requests as the log keeps and exports them: the candidates of each with their rewards. */
import { RowFault } from "../fault.ts";
import {
  type Fields,
  isGiven,
  isObject,
  listOf,
  numberOf,
  objectOf,
  promptOf,
  requiredAt,
  textOf,
} from "../fields.ts";
import type { DatasetFormat } from "./define.ts";

const RECORD_FIELDS =
  "id createdAt route model policyRevision rewardRevision strategy strategyOptions sampling seed messages " +
  "promptTokens candidates outcome error cost user metadata";

/** Of a held-out reward's name in the log: it judges and is not trained on unless it is asked for. */
const HOLDOUT = "holdout:";

/**
 * A candidate that was not scored, or cut short by an error or a client that left, has no reward: NaN. Requests that did not
 * end well give no row.
 */
export const requestLog: DatasetFormat = {
  name: "request-log",
  source: "the log of requests, as `plumbline data export` writes it",
  kinds: ["list"],
  fields: RECORD_FIELDS.split(" "),
  recognises: (fields) => Array.isArray(fields["candidates"]) && isGiven(fields["outcome"]),
  read(fields, { place, reward }) {
    if (fields["outcome"] !== "completed") return [];
    const prompt = promptOf(requiredAt(fields, "messages"), "messages");
    const candidates = listOf(requiredAt(fields, "candidates"), "candidates").map((each, i) =>
      objectOf(each, `candidates.${i}`),
    );
    const name = reward ?? onlyReward(candidates);
    return [
      {
        kind: "list",
        prompt,
        completions: candidates.map(({ text }, i) => textOf(text, `candidates.${i}.text`)),
        rewards: candidates.map((each, i) => rewardOf(each, name, `candidates.${i}`)),
        place,
      },
    ];
  },
};

/** A reward made of others stands beside its parts, which have its name and a slash before theirs. */
function onlyReward(candidates: readonly Fields[]): string {
  const names = new Set(
    candidates.flatMap(({ rewards }) =>
      isObject(rewards) ? Object.keys(rewards).filter((name) => isGiven(rewards[name])) : [],
    ),
  );
  const own = [...names].filter((name) => !name.startsWith(HOLDOUT));
  const whole = own.filter((name) => !own.some((other) => name.startsWith(`${other}/`)));
  const [first, second] = whole;
  if (first !== undefined && second === undefined) return first;
  const problem =
    first === undefined
      ? "have no reward"
      : `have rewards by ${whole.join(", ")}; name one of them`;
  throw new RowFault("no_reward", "candidates", problem);
}

function rewardOf({ rewards, finishReason }: Fields, name: string, path: string): number {
  if (finishReason === "cancelled" || finishReason === "error") return Number.NaN;
  const value = isObject(rewards) ? rewards[name] : null;
  return numberOf(value, `${path}.rewards.${name}`);
}

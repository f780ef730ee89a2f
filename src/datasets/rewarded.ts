/** Answers gathered by prompt with what they are worth: what training rows are made of. */
import { meanOf } from "../base/statistics.ts";
import { normalText, promptKey } from "./prompt.ts";
import type { DatasetPlace, DatasetPrompt, ListRow, SupervisedRow } from "./types.ts";

export interface RewardedAnswer {
  readonly completion: string;
  /** Finite. */
  readonly reward: number;
}

/** Answers that differ in their words, in the order in which they came. */
export interface RewardedPrompt {
  readonly prompt: DatasetPrompt;
  /** `promptKey` of it. */
  readonly key: string;
  readonly place: DatasetPlace;
  readonly answers: readonly RewardedAnswer[];
}

/** Of all answers that were given, those that are left out. */
export interface GatheringReport {
  readonly answers: number;
  /** Without a finite reward. */
  readonly unrewarded: number;
  readonly empty: number;
  /** Equal to an earlier answer to the same prompt. */
  readonly repeated: number;
}

/**
 * Rows of one prompt are taken together, wherever they stand. The reward of an answer that came several times is the mean
 * of its rewards. Prompts with no answer left are left out.
 */
export function gatherByPrompt(rows: Iterable<ListRow | SupervisedRow>): {
  prompts: RewardedPrompt[];
  report: GatheringReport;
} {
  const gathered = new Map<string, Gathering>();
  const report = { answers: 0, unrewarded: 0, empty: 0, repeated: 0 };
  for (const row of rows) {
    const key = promptKey(row.prompt);
    const at = gathered.get(key) ?? { prompt: row.prompt, place: row.place, answers: new Map() };
    gathered.set(key, at);
    for (const { completion, reward } of answersOf(row)) {
      report.answers++;
      const words = normalText(completion);
      const known = at.answers.get(words);
      if (!Number.isFinite(reward)) report.unrewarded++;
      else if (words === "") report.empty++;
      else if (known === undefined) at.answers.set(words, { completion, rewards: [reward] });
      else {
        known.rewards.push(reward);
        report.repeated++;
      }
    }
  }
  const prompts = [...gathered].map(([key, { prompt, place, answers }]) => ({
    prompt,
    key,
    place,
    answers: [...answers.values()].map(({ completion, rewards }) => ({
      completion,
      reward: meanOf(rewards),
    })),
  }));
  return { prompts: prompts.filter(({ answers }) => answers.length > 0), report };
}

interface Gathering {
  readonly prompt: DatasetPrompt;
  readonly place: DatasetPlace;
  /** By their normalised words. */
  readonly answers: Map<string, { readonly completion: string; readonly rewards: number[] }>;
}

function answersOf(row: ListRow | SupervisedRow): readonly RewardedAnswer[] {
  if (row.kind === "supervised") {
    return [{ completion: row.completion, reward: row.reward ?? Number.NaN }];
  }
  return row.completions.map((completion, i) => ({ completion, reward: row.rewards[i]! }));
}

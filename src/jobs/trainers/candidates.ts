/** Answers of the base, drawn and judged once, and the rows that trials learn from. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createRandom, splitSeed } from "../../base/random.ts";
import { bestPerPrompt, labelled, pairsOf, rankings } from "../../datasets/pairing.ts";
import { formatNamed } from "../../datasets/read.ts";
import { gatherByPrompt, type RewardedPrompt } from "../../datasets/rewarded.ts";
import type { DatasetRow } from "../../datasets/types.ts";
import { writeDataset } from "../../datasets/write.ts";
import type { BatchPrompt } from "../batch/prompts.ts";
import { listRowOf, type SampledPrompt } from "../batch/samples-file.ts";
import { writing } from "../batch/writing.ts";
import { kindOf, type RowsName } from "./trials.ts";

/** Answers that ended by themselves and have a reward, those that are equal taken together. */
export function candidatesOf(
  prompts: readonly BatchPrompt[],
  sampled: readonly SampledPrompt[],
): RewardedPrompt[] {
  const rows = prompts.map((prompt, i) =>
    listRowOf(
      prompt,
      sampled[i]!.answers.filter(({ isFinished }) => isFinished),
    ),
  );
  return gatherByPrompt(rows).prompts;
}

/** Each prompt's rewards, permuted among its answers: the same numbers, which say nothing. Fisher-Yates. */
export function shuffledRewards(
  candidates: readonly RewardedPrompt[],
  seed: number,
): RewardedPrompt[] {
  return candidates.map((each, at) => {
    const random = createRandom(splitSeed(seed, at));
    const rewards = each.answers.map(({ reward }) => reward);
    for (let i = rewards.length - 1; i > 0; i--) {
      const j = random.integer(i + 1);
      [rewards[i], rewards[j]] = [rewards[j]!, rewards[i]!];
    }
    const answers = each.answers.map((answer, i) => ({ ...answer, reward: rewards[i]! }));
    return { ...each, answers };
  });
}

/** Labels: the better half of all answers is good, the rest is bad. */
const HALVES = { desirableShare: 0.5, undesirableShare: 0.5 };

/** @param seed of the pairing rules that draw. */
export function rowsOf(
  candidates: readonly RewardedPrompt[],
  rows: RowsName,
  seed: number,
): readonly DatasetRow[] {
  if (rows === "winners") return bestPerPrompt(candidates);
  if (rows === "rated") return labelled(candidates, HALVES);
  if (rows === "lists") return rankings(candidates);
  return pairsOf(candidates, { rule: rows, seed });
}

const formats = {
  supervised: "prompt-completion",
  pair: "preference",
  rated: "unpaired",
  list: "list",
} as const;

/** By the kind of the rows that `rows` are. */
export function formatFor(rows: RowsName): string {
  const kind = kindOf(rows);
  return formats[kind as keyof typeof formats]; // no trial has prompts alone for rows
}

/** Always the same bytes for the same rows. @returns the file's path. @throws GatewayError training_write_failed */
export async function writeRows(
  folder: string,
  name: string,
  { rows, format }: { readonly rows: readonly DatasetRow[]; readonly format: string },
): Promise<string> {
  const path = join(folder, `${name}.jsonl`);
  await writing(folder, () => mkdir(folder, { recursive: true }));
  await writing(path, () => writeDataset(path, formatNamed(format), rows));
  return path;
}

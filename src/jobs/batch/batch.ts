/**
 * Data from a served policy: k answers to each prompt, judged, and of them what is worth learning from. Whatever moment it
 * is killed at, the same command goes on, to the same files.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename, join } from "node:path";
import { meanOf } from "../../base/statistics.ts";
import { formatNamed } from "../../datasets/read.ts";
import { writeDataset } from "../../datasets/write.ts";
import type { AlignmentRequest } from "../../gateway/types.ts";
import type { Manifest } from "../training/work-folder.ts";
import { openBatchFolder } from "./batch-folder.ts";
import {
  type BatchPrompts,
  hashOfPrompts,
  loadPrompts,
  type PromptOptions,
  readableBy,
} from "./prompts.ts";
import { samplePrompts } from "./sample-prompts.ts";
import type { SampledPrompt } from "./samples-file.ts";
import { type SelectionOptions, type SelectionReport, selectRows } from "./selection.ts";
import type { Serve, Served } from "./serve.ts";
import { writing } from "./writing.ts";

export interface DrawOptions {
  readonly temperature: number;
  readonly topP: number;
  readonly maxTokens: number | null;
  readonly seed: number;
}

export interface BatchOptions extends DrawOptions, SelectionOptions {
  /** The mode's name. */
  readonly mode: string;
  readonly prompts: PromptOptions;
  readonly alignment: Omit<AlignmentRequest, "reward">;
  readonly choices: number;
  /** Answers of a prompt. */
  readonly k: number;
  readonly out: string;
}

export interface BatchListener {
  /** Of a stage, by its name. */
  onProgress(stage: string, done: number, total: number): void;
}

export interface BatchSummary {
  readonly mode: string;
  readonly out: string;
  readonly prompts: number;
  readonly repeatedPrompts: number;
  readonly droppedPrompts: number;
  readonly selection: SelectionReport;
  readonly rewards: RewardMeans;
  /** SHA-256 of the files. */
  readonly files: Readonly<Record<string, string>>;
}

export interface RewardMeans {
  /** Over all judged answers; null: there is none. */
  readonly sampled: number | null;
  /** Of each prompt's best, over prompts. */
  readonly best: number | null;
  /** Tokens of an answer. */
  readonly tokens: number;
}

export const SAMPLES_FILE = "samples.jsonl";
const DATA_FILE = "data.jsonl";

/** @throws GatewayError for whatever is wrong with prompts, folder, options or disk, and what an answer fails with */
export async function batch(
  serve: Serve,
  options: BatchOptions,
  listener: BatchListener,
): Promise<BatchSummary> {
  const asked = await loadPrompts(options.prompts);
  const served = await serve(null);
  try {
    const given = readableBy(served.policy, asked, options.prompts.badRows);
    const folder = await openBatchFolder<BatchSummary>(
      options.out,
      recipeOf(options, served, given),
    );
    try {
      if (folder.results) return folder.results;
      const summary = await run(served, options, { given, listener });
      await folder.finish(summary);
      return summary;
    } finally {
      await folder.release();
    }
  } finally {
    await served.dispose();
  }
}

async function run(
  served: Served,
  options: BatchOptions,
  { given, listener }: { given: BatchPrompts; listener: BatchListener },
): Promise<BatchSummary> {
  const { mode, out, alignment } = options;
  const { prompts } = given;
  const sampled = await samplePrompts(async () => served, {
    ...options,
    prompts,
    path: join(out, SAMPLES_FILE),
    alignment: { ...alignment, reward: served.reward },
    onProgress: (done, total) => listener.onProgress("sampling", done, total),
  });
  const { rows, report } = selectRows(prompts, sampled, options);
  const data = join(out, DATA_FILE);
  const format = formatNamed(
    options.selection.kind === "pairs" ? "preference" : "prompt-completion",
  );
  await writing(data, () => writeDataset(data, format, rows));
  return {
    mode,
    out,
    prompts: prompts.length,
    repeatedPrompts: given.repeated,
    droppedPrompts: given.dropped,
    selection: report,
    rewards: rewardMeans(sampled),
    files: await hashesOf(out, [SAMPLES_FILE, DATA_FILE]),
  };
}

/** Under the names of the command's flags. */
function recipeOf(
  options: BatchOptions,
  { policy, reward, rewardRevision }: Served,
  { prompts }: BatchPrompts,
): Manifest {
  const { alignment, selection } = options;
  return {
    mode: options.mode,
    "--prompts": basename(options.prompts.source), // what is in it, the next tells
    "prompts, SHA-256": hashOfPrompts(prompts),
    policy: `${policy.id}@${policy.revision}`,
    reward: `${reward}@${rewardRevision}`,
    ...drawRecipe(options),
    strategy: JSON.stringify({ ...alignment, choices: options.choices }),
    selection: JSON.stringify(selection),
    "--unfinished": options.takesUnfinished ? "take" : "drop",
  };
}

export const drawRecipe = ({ temperature, topP, maxTokens, seed }: DrawOptions): Manifest => ({
  "--temperature": temperature,
  "--top-p": topP,
  "--max-tokens": maxTokens,
  "--seed": seed,
});

export function rewardMeans(sampled: readonly SampledPrompt[]): RewardMeans {
  const judged = sampled
    .map(({ answers }) => answers.flatMap(({ reward }) => (reward === null ? [] : [reward])))
    .filter((rewards) => rewards.length > 0);
  const mean = (values: readonly number[]) => (values.length > 0 ? meanOf(values) : null);
  return {
    sampled: mean(judged.flat()),
    best: mean(judged.map((rewards) => Math.max(...rewards))),
    tokens: meanOf(sampled.flatMap(({ answers }) => answers.map(({ tokens }) => tokens))),
  };
}

export async function hashesOf(
  folder: string,
  names: readonly string[],
): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const name of names) {
    const hash = createHash("sha256");
    for await (const bytes of createReadStream(join(folder, name))) hash.update(bytes);
    hashes[name] = hash.digest("hex");
  }
  return hashes;
}

/**
 * What was sampled, a line a prompt in the prompts' order, each on the disk before the next: rows of the format `list`
 * whose metadata says how the answers came about. A line that a kill has cut off is cut away, and its prompt drawn anew.
 */
import { type FileHandle, open } from "node:fs/promises";
import { type Static, Type } from "typebox";
import { compileCheck, dottedPath } from "../../base/check.ts";
import { GatewayError } from "../../base/errors.ts";
import { formatNamed } from "../../datasets/read.ts";
import type { ListRow } from "../../datasets/types.ts";
import type { BatchPrompt } from "./prompts.ts";
import { writing } from "./writing.ts";

export interface SampledAnswer {
  readonly text: string;
  /** Raw; null: no judgement. */
  readonly reward: number | null;
  readonly tokens: number;
  /** Σ log π(token), nats. */
  readonly logprob: number;
  /** False: it was cut, by the limit of tokens or the search. */
  readonly isFinished: boolean;
}

/** One prompt's answers, in the order in which they were begun. */
export interface SampledPrompt {
  readonly seed: number;
  readonly answers: readonly SampledAnswer[];
  /** Indices in `answers` of what the strategy would answer with, best first. */
  readonly chosen: readonly number[];
  /** The strategy's word for why it ended. */
  readonly stopped: string;
}

export interface SamplesFile {
  /** Those that are there already: of the first prompts. */
  readonly sampled: readonly SampledPrompt[];
  /** Resolves when it is on the disk. */
  append(prompt: BatchPrompt, sampled: SampledPrompt): Promise<void>;
  close(): Promise<void>;
}

const lineSchema = Type.Object({
  id: Type.String(),
  completions: Type.Array(Type.String()),
  rewards: Type.Array(Type.Union([Type.Number(), Type.Null()])),
  metadata: Type.Object({
    seed: Type.Number(),
    chosen: Type.Array(Type.Number()),
    stopped: Type.String(),
    tokens: Type.Array(Type.Number()),
    logprobs: Type.Array(Type.Number()),
    finished: Type.Array(Type.Boolean()),
  }),
});
const checkLine = compileCheck(lineSchema);

/** @throws GatewayError dataset_invalid for lines of something else, training_write_failed */
export async function openSamples(
  path: string,
  prompts: readonly BatchPrompt[],
): Promise<SamplesFile> {
  const file = await writing(path, () => open(path, "a+"));
  try {
    const { lines, bytes } = await wholeLines(file);
    const sampled = lines.map((text, at) => readLine(text, prompts[at], { path, line: at + 1 }));
    await writing(path, () => file.truncate(bytes));
    return {
      sampled,
      append: (prompt, each) =>
        writing(path, async () => {
          await file.appendFile(lineOf(prompt, each));
          await file.datasync();
        }),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** What training data are made of. NaN: not judged. */
export function listRowOf(
  { prompt, place }: BatchPrompt,
  answers: readonly SampledAnswer[],
): ListRow {
  return {
    kind: "list",
    prompt,
    completions: answers.map(({ text }) => text),
    rewards: answers.map(({ reward }) => reward ?? Number.NaN),
    place,
  };
}

/** @returns all but what stands behind the last end of a line, and how many bytes they are. */
async function wholeLines(file: FileHandle): Promise<{ lines: string[]; bytes: number }> {
  const content = await file.readFile();
  const bytes = content.lastIndexOf("\n") + 1;
  const text = content.subarray(0, bytes).toString("utf8");
  return { lines: text.split("\n").slice(0, -1), bytes };
}

function lineOf(prompt: BatchPrompt, { answers, seed, chosen, stopped }: SampledPrompt): string {
  const fields = formatNamed("list").write!(listRowOf(prompt, answers));
  const metadata: Static<typeof lineSchema>["metadata"] = {
    seed,
    chosen: [...chosen],
    stopped,
    tokens: answers.map(({ tokens }) => tokens),
    logprobs: answers.map(({ logprob }) => logprob),
    finished: answers.map(({ isFinished }) => isFinished),
  };
  return `${JSON.stringify({ id: prompt.key, ...fields, metadata })}\n`; // NaN becomes null
}

function readLine(
  text: string,
  prompt: BatchPrompt | undefined,
  { path, line }: { path: string; line: number },
): SampledPrompt {
  const foreign = (problem: string) => {
    const remedy = "it was not written by this command; name another --out";
    const problems = `${problem}: ${remedy}`;
    return new GatewayError("dataset_invalid", {
      file: path,
      line,
      field: null,
      problem: problems,
    });
  };
  const value = parsed(text);
  const fault = checkLine(value);
  if (fault) throw foreign(`${dottedPath(fault.path) ?? "the line"} ${fault.problem}`);
  const { id, completions, rewards, metadata } = value as Static<typeof lineSchema>; // just checked
  if (id !== prompt?.key) throw foreign("it is of another prompt than the batch has there");
  const { seed, chosen, stopped, tokens, logprobs, finished } = metadata;
  const answers = completions.map((completion, i) => ({
    text: completion,
    reward: rewards[i]!,
    tokens: tokens[i]!,
    logprob: logprobs[i]!,
    isFinished: finished[i]!,
  }));
  return { seed, chosen, stopped, answers };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // which is no line of ours, as the check then says
  }
}

/**
 * Every answer that was drawn, a line a prompt: rows of the format `list` whose metadata has the tokens and what each was
 * drawn with. A rollout is on the disk before it is learned from, so that a training which was killed finds it again.
 */
import { type FileHandle, open } from "node:fs/promises";
import { type Static, Type } from "typebox";
import { compileCheck } from "../../../base/check.ts";
import { GatewayError } from "../../../base/errors.ts";
import { formatNamed } from "../../../datasets/read.ts";
import { writing } from "../../batch/writing.ts";
import type { DrawnGroup, Rollout } from "./draw.ts";
import type { ReadPrompt } from "./prompts.ts";

export const ROLLOUTS_FILE = "rollouts.jsonl";

const nullable = Type.Union([Type.Number(), Type.Null()]);
const lineSchema = Type.Object({
  id: Type.String(),
  completions: Type.Array(Type.String()),
  rewards: Type.Array(nullable),
  metadata: Type.Object({
    rollout: Type.Number(),
    sampled_at: Type.Number(),
    seed: Type.Number(),
    baseline: nullable,
    tokens: Type.Array(Type.Array(Type.Number())),
    logprobs: Type.Array(Type.Array(Type.Number())),
    values: Type.Array(Type.Array(Type.Number())),
    finished: Type.Array(Type.Boolean()),
  }),
});
type Line = Static<typeof lineSchema>;
const checkLine = compileCheck(lineSchema);

export interface RolloutsFile {
  /** Those of former runs that the saved state knows of. */
  readonly found: readonly Rollout[];
  /** Resolves when it is on the disk. */
  append(rollout: Rollout): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param promptsOf the prompts of a rollout, in order. @param sampledAtMax updates of the saved state: what was drawn after
 * it is cut away, and drawn again.
 * @throws GatewayError dataset_invalid for a file of something else, training_write_failed
 */
export async function openRollouts(
  path: string,
  promptsOf: (rollout: number) => readonly ReadPrompt[],
  sampledAtMax: number,
): Promise<RolloutsFile> {
  const file = await writing(path, () => open(path, "a+"));
  try {
    const { found, bytes } = await readWhole(file, { path, promptsOf, sampledAtMax });
    await writing(path, () => file.truncate(bytes));
    return {
      found,
      append: (rollout) =>
        writing(path, async () => {
          await file.appendFile(rollout.groups.map((group) => lineOf(rollout, group)).join(""));
          await file.datasync();
        }),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

interface Reading {
  readonly path: string;
  readonly promptsOf: (rollout: number) => readonly ReadPrompt[];
  readonly sampledAtMax: number;
}

/** Rollouts up to the first that is not whole or comes after the saved state, and the bytes that they take. */
async function readWhole(
  file: FileHandle,
  { path, promptsOf, sampledAtMax }: Reading,
): Promise<{ found: Rollout[]; bytes: number }> {
  const content = await file.readFile();
  const found: Rollout[] = [];
  let [from, bytes, at] = [0, 0, 0];
  for (;;) {
    const prompts = promptsOf(found.length);
    const groups: DrawnGroup[] = [];
    let sampledAt = 0;
    for (const prompt of prompts) {
      const end = content.indexOf("\n", from);
      if (end < 0) return { found, bytes };
      at += 1;
      const line = readLine(content.subarray(from, end).toString("utf8"), { path, line: at });
      const { id, metadata } = line;
      if (id !== prompt.key || metadata.rollout !== found.length) {
        throw foreign({ path, line: at }, "it is of another prompt than the training has there");
      }
      sampledAt = metadata.sampled_at;
      if (sampledAt > sampledAtMax) return { found, bytes };
      groups.push(groupOf(prompt, line));
      from = end + 1;
    }
    found.push({ index: found.length, sampledAt, groups });
    bytes = from;
  }
}

function groupOf(prompt: ReadPrompt, { completions, rewards, metadata }: Line): DrawnGroup {
  const { seed, baseline, tokens, logprobs, values, finished } = metadata;
  return {
    prompt,
    seed,
    baseline,
    answers: completions.map((text, i) => ({
      text,
      tokens: tokens[i]!,
      logps: logprobs[i]!,
      values: values[i] ?? [],
      reward: rewards[i]!,
      isFinished: finished[i]!,
    })),
  };
}

function lineOf(
  { index, sampledAt }: Rollout,
  { prompt, seed, baseline, answers }: DrawnGroup,
): string {
  const fields = formatNamed("list").write!({
    kind: "list",
    prompt: prompt.prompt,
    completions: answers.map(({ text }) => text),
    rewards: answers.map(({ reward }) => reward ?? Number.NaN), // which JSON writes as null
    place: prompt.place,
  });
  const metadata: Line["metadata"] = {
    rollout: index,
    sampled_at: sampledAt,
    seed,
    baseline,
    tokens: answers.map(({ tokens }) => [...tokens]),
    logprobs: answers.map(({ logps }) => [...logps]),
    values: answers.flatMap(({ values }) => (values.length > 0 ? [[...values]] : [])),
    finished: answers.map(({ isFinished }) => isFinished),
  };
  return `${JSON.stringify({ id: prompt.key, ...fields, metadata })}\n`;
}

function readLine(text: string, at: { path: string; line: number }): Line {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw foreign(at, "it is no JSON");
  }
  const fault = checkLine(value);
  if (fault) throw foreign(at, fault.problem);
  return value as Line; // just checked
}

function foreign({ path, line }: { path: string; line: number }, what: string): GatewayError {
  const problem = `${what}: it was not written by this command; name another --out`;
  return new GatewayError("dataset_invalid", { file: path, line, field: null, problem });
}

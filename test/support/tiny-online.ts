/** Trainings on own answers in this process: a policy of some ten thousand weights, judged by a function of the text. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compileOptions } from "../../src/base/options.ts";
import { onlineMethods } from "../../src/jobs/training/methods.ts";
import type { OnlineOptions } from "../../src/jobs/training/online/options.ts";
import { type OpenJudges, trainOnline } from "../../src/jobs/training/online/train-online.ts";
import type { Runtime } from "../../src/onnx/runtime/index.ts";
import type { Reward } from "../../src/rewards/define.ts";
import type { StepReport } from "../../src/train/loop.ts";
import { jsonLines } from "./tiny-checkpoint.ts";
import { usualTraining } from "./training-options.ts";

/** Judges by one reward, whatever is asked for. */
export const judgedBy =
  (reward: Reward): OpenJudges =>
  async ({ loaded }) => ({ reward: () => reward, dispose: () => loaded.engine.dispose() });

export const promptRows = (n: number) =>
  Array.from({ length: n }, (_, i) => ({ prompt: `Say ${i}`, answer: String(i) }));

/** @returns the file's path. */
export const promptFile = (folder: string, n: number) =>
  jsonLines(join(folder, `prompts-${n}.jsonl`), promptRows(n));

type Asked = Pick<OnlineOptions, "base" | "out"> & {
  readonly prompts: string;
  readonly lossOptions?: Record<string, unknown>;
};

export function onlineOptions(
  name: string,
  { prompts, base, out, lossOptions = {} }: Asked,
  changes: Partial<OnlineOptions> = {},
): OnlineOptions {
  const method = onlineMethods.find(({ loss }) => loss.name === name)!;
  const source = { source: prompts, format: null, badRows: "refuse", seed: 0 } as const;
  return {
    name,
    method,
    lossOptions: compileOptions(method.loss, name)(lossOptions),
    prompts: source,
    heldOut: 0,
    evaluate: 0,
    reward: null,
    k: 4,
    minibatch: null,
    updatesPerRollout: null,
    stalenessMax: 4,
    importance: { level: "answer", beyond: "mask", ratioMax: 3 },
    temperature: 1,
    maxTokens: 8,
    contextTokens: null,
    unfinished: "take",
    unfinishedReward: null,
    overlongBuffer: 0,
    rewardKl: 0,
    gamma: 1,
    lambda: 0.95,
    whitens: true,
    mixture: 0.5,
    ...usualTraining,
    steps: 2,
    batch: 4,
    evaluateEvery: null,
    base,
    out,
    checkpointEvery: 100,
    memoryBytesMax: 2 ** 31,
    sequencesMax: 16,
    cacheBytesMax: 2 ** 28,
    ...changes,
  };
}

/** Runs it; what it said of its steps. */
export async function runOnline(runtime: Runtime, judges: OpenJudges, options: OnlineOptions) {
  const steps: StepReport[] = [];
  const listener = {
    onStart: () => {},
    onReferences: () => {},
    onStep: (report: StepReport) => void steps.push(report),
  };
  const summary = await trainOnline(runtime, judges, { options, listener });
  return { summary, steps };
}

/** A line of `rollouts.jsonl`: the answers to one prompt. */
export interface RolloutLine {
  readonly prompt: string;
  readonly completions: readonly string[];
  readonly rewards: readonly (number | null)[];
  readonly metadata: {
    readonly rollout: number;
    readonly baseline: number | null;
    readonly tokens: readonly (readonly number[])[];
    readonly logprobs: readonly (readonly number[])[];
    readonly values: readonly (readonly number[])[];
    readonly finished: readonly boolean[];
  };
}

export const rolloutLines = (out: string): RolloutLine[] =>
  readFileSync(join(out, "rollouts.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as RolloutLine); // ours

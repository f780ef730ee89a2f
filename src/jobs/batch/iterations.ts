/**
 * What trainings in iterations share: a folder an iteration, each from the policy before, an evaluation by one answer to
 * each held-out prompt with the same seeds, and an end where nothing is gained any more. Whatever moment it is killed at,
 * the same command goes on: what an iteration has written whole is not made again.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Static, TObject } from "typebox";
import { assert } from "../../base/assert.ts";
import { writeFileAtomically } from "../../base/atomic-file.ts";
import { GatewayError } from "../../base/errors.ts";
import { isMissing } from "../../base/json-file.ts";
import { splitSeed } from "../../base/random.ts";
import { bootstrapInterval, type Interval } from "../../base/statistics.ts";
import { mergeAdapter } from "../../checkpoints/merge.ts";
import { goldReward } from "../../corpus/index.ts";
import type { Runtime } from "../../onnx/runtime/index.ts";
import { optimizationManifest } from "../training/manifest.ts";
import type { Method } from "../training/methods.ts";
import type { TrainingOptions } from "../training/options.ts";
import { type TrainingListener, type TrainingSummary, train } from "../training/train.ts";
import type { Manifest } from "../training/work-folder.ts";
import { type BatchListener, type DrawOptions, drawRecipe, rewardMeans } from "./batch.ts";
import { openBatchFolder } from "./batch-folder.ts";
import {
  type BatchPrompt,
  type BatchPrompts,
  hashOfPrompts,
  type PromptOptions,
  readableBy,
  splitHeldOut,
} from "./prompts.ts";
import { samplePrompts } from "./sample-prompts.ts";
import { type Serve, type Served, type ServedInTurn, servedInTurn } from "./serve.ts";
import { writing } from "./writing.ts";

/** What of a training the iterations do not decide themselves. */
export type StageTraining = Omit<
  TrainingOptions,
  "method" | "lossOptions" | "data" | "base" | "out" | "seed"
> & { readonly contextTokens: number | null };

export interface IterationOptions extends DrawOptions {
  readonly prompts: PromptOptions;
  /** The policy's checkpoint. */
  readonly policy: string;
  /** At most. */
  readonly iterations: number;
  /** Prompts of an iteration, the next ones in each; null: all. */
  readonly iterationPrompts: number | null;
  /** Iterations without a higher held-out reward after which it ends; 0: it never does. */
  readonly patience: number;
  /** Of a file's prompts those held out; the corpus has a side of its own. */
  readonly heldOut: number;
  /** Held-out prompts to evaluate on, at most. */
  readonly evaluate: number;
  /** Whether answers are learnt that were cut. */
  readonly takesUnfinished: boolean;
  readonly training: StageTraining;
  readonly out: string;
}

export interface IterationListener<M> extends BatchListener {
  readonly training: TrainingListener;
  onIteration(report: IterationReport<M>): void;
}

/** Of one answer to each held-out prompt; intervals are 95 %, by resampling prompts. */
export interface HeldOutReport {
  readonly reward: Interval;
  /** Of the embedded corpus alone. */
  readonly gold: Interval | null;
  readonly accuracy: Interval | null;
  /** Of an answer. */
  readonly tokens: number;
}

/** @typeParam M what is said of how an iteration's policy came about. */
export interface IterationReport<M> {
  /** 0: the policy that it began with. */
  readonly iteration: number;
  readonly policy: string;
  readonly revision: string;
  readonly heldOut: HeldOutReport | null;
  /** null for iteration 0. */
  readonly made: M | null;
}

export interface IterationsSummary<M> {
  readonly mode: string;
  readonly out: string;
  readonly prompts: number;
  readonly heldOutPrompts: number;
  readonly repeatedPrompts: number;
  readonly droppedPrompts: number;
  readonly iterations: readonly IterationReport<M>[];
  /** The iteration with the highest held-out reward; the last where nothing was held out. */
  readonly best: number;
}

const POLICY = "policy";
/** Before it is merged; with LoRA only. */
const ADAPTER = "adapter";
const EVALUATION_FILE = "evaluation.jsonl";
/** Written last: what has it is done. */
const REPORT_FILE = "iteration.json";

export interface Iterating<M> {
  readonly runtime: Runtime;
  readonly options: IterationOptions;
  readonly listener: IterationListener<M>;
  readonly models: ServedInTurn;
  /** That evaluates; at every policy the same. */
  readonly reward: string;
  readonly prompts: readonly BatchPrompt[];
  readonly heldOut: readonly BatchPrompt[];
}

/** One iteration, from 1, in a folder of its own. */
export interface Stage {
  readonly iteration: number;
  readonly out: string;
  readonly current: CurrentPolicy;
}

export interface CurrentPolicy {
  /** null: as it is configured. */
  readonly folder: string | null;
  /** What is trained on. */
  readonly base: string;
}

/** What one kind of iterations brings along. */
export interface Kind<M> {
  readonly mode: string;
  readonly asked: BatchPrompts;
  /** What decides the result besides what all kinds have, under the names of the command's flags. */
  readonly recipe: Manifest;
  /** Writes the next policy into the stage's `policy` folder. */
  readonly improve: (parts: Iterating<M>, stage: Stage) => Promise<M>;
}

/** @throws GatewayError for whatever is wrong with prompts, models, folder, memory or disk; training_diverged */
export async function iterate<M>(
  runtime: Runtime,
  serve: Serve,
  { options, listener }: Pick<Iterating<M>, "options" | "listener">,
  { mode, asked, recipe, improve }: Kind<M>,
): Promise<IterationsSummary<M>> {
  const models = servedInTurn(serve);
  try {
    const served = await models.at(null);
    const given = readableBy(served.policy, asked, options.prompts.badRows);
    const { prompts, heldOut } = splitPrompts(given, options);
    const { reward } = served;
    const parts = { runtime, options, listener, models, reward, prompts, heldOut };
    const folder = await openBatchFolder<IterationsSummary<M>>(options.out, {
      mode,
      ...recipe,
      ...sharedRecipe(parts, served),
    });
    try {
      if (folder.results) return folder.results;
      const iterations = await stages(parts, (stage) => improve(parts, stage));
      const summary = summaryOf(mode, parts, given, iterations);
      await folder.finish(summary);
      return summary;
    } finally {
      await folder.release();
    }
  } finally {
    await models.letGo();
  }
}

function sharedRecipe<M>(
  { options, prompts, heldOut }: Iterating<M>,
  { policy, reward, rewardRevision }: Served,
): Manifest {
  return {
    policy: `${policy.id}@${policy.revision}`,
    reward: `${reward}@${rewardRevision}`,
    "prompts, SHA-256": hashOfPrompts(prompts),
    "held-out prompts, SHA-256": hashOfPrompts(heldOut),
    "--iterations": options.iterations,
    "--iteration-prompts": options.iterationPrompts,
    "--patience": options.patience,
    ...drawRecipe(options),
    "--unfinished": options.takesUnfinished ? "take" : "drop",
    ...optimizationManifest(options.training),
    "--context-tokens": options.training.contextTokens,
  };
}

async function stages<M>(
  parts: Iterating<M>,
  improve: (stage: Stage) => Promise<M>,
): Promise<IterationReport<M>[]> {
  const { iterations, policy, patience } = parts.options;
  const reports: IterationReport<M>[] = [];
  let current: CurrentPolicy = { folder: null, base: policy };
  for (let iteration = 0; iteration <= iterations; iteration++) {
    const out = join(parts.options.out, `iteration-${iteration}`);
    await writing(out, () => mkdir(out, { recursive: true }));
    const file = join(out, REPORT_FILE);
    const report =
      (await readReport<M>(file)) ??
      (await iterateOnce(parts, { iteration, out, current }, improve));
    const text = JSON.stringify(report, null, 2);
    await writing(file, () => writeFileAtomically(file, [text, "\n"]));
    if (iteration > 0) current = { folder: join(out, POLICY), base: join(out, POLICY) };
    reports.push(report);
    parts.listener.onIteration(report);
    if (patience > 0 && iteration - bestOf(reports).iteration >= patience) break;
  }
  return reports;
}

/** With the highest held-out reward, the first of them. */
const bestOf = <M>(reports: readonly IterationReport<M>[]) =>
  reports.reduce((top, each) => {
    const [reward, highest] = [each, top].map((one) => one.heldOut?.reward.estimate ?? -Infinity);
    return reward! > highest! ? each : top;
  });

async function iterateOnce<M>(
  parts: Iterating<M>,
  stage: Stage,
  improve: (stage: Stage) => Promise<M>,
): Promise<IterationReport<M>> {
  const { iteration, out, current } = stage;
  const made = iteration === 0 ? null : await improve(stage);
  const folder = iteration === 0 ? current.folder : join(out, POLICY);
  const heldOut = await evaluate(parts, { iteration, out, folder });
  const { policy } = await parts.models.at(folder);
  return { iteration, policy: folder ?? current.base, revision: policy.revision, heldOut, made };
}

/** @returns what a former run has left there, whole; null: it has not come so far. */
async function readReport<M>(file: string): Promise<IterationReport<M> | null> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as IterationReport<M>; // written here
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

async function evaluate<M>(
  { options, listener, models, reward, heldOut }: Iterating<M>,
  { iteration, out, folder }: { iteration: number; out: string; folder: string | null },
): Promise<HeldOutReport | null> {
  if (heldOut.length === 0) return null;
  const sampled = await samplePrompts(() => models.at(folder), {
    ...options,
    prompts: heldOut,
    path: join(out, EVALUATION_FILE),
    alignment: { strategy: "sample", reward, options: {} },
    choices: 1,
    k: 1,
    seed: splitSeed(options.seed, 0) >>> 0,
    onProgress: (done, total) =>
      listener.onProgress(`iteration ${iteration}, evaluating`, done, total),
  });
  const answers = sampled.map((each) => each.answers[0]!);
  const judged = answers.flatMap(({ reward: value }) => (value === null ? [] : [value]));
  if (judged.length === 0) return null;
  const golds = heldOut.flatMap(({ corpus }, i) =>
    corpus ? [goldReward(corpus, answers[i]!.text)] : [],
  );
  const measured = (values: readonly number[]) =>
    values.length > 0 ? bootstrapInterval(values, { seed: 1 }) : null;
  return {
    reward: bootstrapInterval(judged, { seed: 1 }),
    gold: measured(golds.map(({ total }) => total)),
    accuracy: measured(golds.map(({ correct }) => Number(correct))),
    tokens: rewardMeans(sampled).tokens,
  };
}

/** The next so many in each iteration; behind the last comes the first. */
export function sliceOf<T>(
  all: readonly T[],
  iteration: number,
  count: number | null,
): readonly T[] {
  if (count === null || count >= all.length) return all;
  const start = (iteration - 1) * count;
  return Array.from({ length: count }, (_, i) => all[(start + i) % all.length]!);
}

export interface PolicyTraining {
  readonly method: Method;
  readonly lossOptions: Static<TObject>;
  /** Its rows. */
  readonly file: string;
  readonly format: string;
}

/**
 * The next policy, from the current one; an adapter is merged into it, whole or not at all. Nothing of the rows is held out:
 * what they are worth, prompts tell that were held out before.
 */
export async function trainPolicy(
  runtime: Runtime,
  { training, seed }: IterationOptions,
  { method, lossOptions, file, format }: PolicyTraining,
  { out, current, listener }: Pick<Stage, "out" | "current"> & { listener: TrainingListener },
): Promise<TrainingSummary> {
  const { contextTokens, ...shared } = training;
  const policy = join(out, POLICY);
  const trained = training.lora ? join(out, ADAPTER) : policy;
  const data = {
    files: [file],
    heldOutFiles: [],
    heldOut: 0,
    format,
    rewardName: null,
    contextTokens,
    badRows: "refuse",
  } as const;
  const options = { ...shared, method, lossOptions, data, base: current.base, out: trained, seed };
  const summary = await train(runtime, options, listener);
  if (training.lora && !existsSync(policy)) await mergeAdapter(current.base, trained, policy);
  return summary;
}

/** @throws GatewayError invalid_request for patience with nothing to wait for */
function splitPrompts(
  given: BatchPrompts,
  { prompts, heldOut: share, evaluate: count, patience }: IterationOptions,
): ReturnType<typeof splitHeldOut> {
  const split = splitHeldOut(given, { ...prompts, share, count });
  if (patience > 0 && split.heldOut.length === 0) throw nothingToWaitFor();
  return split;
}

function nothingToWaitFor(): GatewayError {
  const problem = "no prompt is held out that could tell; raise --held-out or --evaluate";
  return new GatewayError("invalid_request", { param: "--patience", problem });
}

function summaryOf<M>(
  mode: string,
  { options, prompts, heldOut }: Pick<Iterating<M>, "options" | "prompts" | "heldOut">,
  given: BatchPrompts,
  iterations: readonly IterationReport<M>[],
): IterationsSummary<M> {
  const last = iterations.at(-1);
  assert(last, "there is at least the policy that it began with");
  return {
    mode,
    out: options.out,
    prompts: prompts.length,
    heldOutPrompts: heldOut.length,
    repeatedPrompts: given.repeated,
    droppedPrompts: given.dropped,
    iterations,
    best: (heldOut.length > 0 ? bestOf(iterations) : last).iteration,
  };
}

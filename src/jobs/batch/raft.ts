/**
 * RAFT in iterations: the current policy answers every prompt k times, the reward filters, the winners are learnt with the
 * loss `raft`, and the policy that this gives answers in the next iteration. Each is evaluated by one answer to each
 * held-out prompt, with the same seeds. Whatever moment it is killed at, the same command goes on, to the same weights.
 * Source: Dong et al., arXiv:2304.06767, algorithm 1; "top" over all as LMFlow, best per prompt as RLHFlow.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { assert } from "../../base/assert.ts";
import { writeFileAtomically } from "../../base/atomic-file.ts";
import { GatewayError } from "../../base/errors.ts";
import { isMissing } from "../../base/json-file.ts";
import { splitSeed } from "../../base/random.ts";
import { bootstrapInterval, type Interval } from "../../base/statistics.ts";
import { mergeAdapter } from "../../checkpoints/merge.ts";
import { goldReward } from "../../corpus/index.ts";
import { formatNamed } from "../../datasets/read.ts";
import { writeDataset } from "../../datasets/write.ts";
import type { Runtime } from "../../onnx/runtime/index.ts";
import { openBase } from "../training/base.ts";
import { optimizationManifest } from "../training/manifest.ts";
import { methods } from "../training/methods.ts";
import type { TrainingOptions } from "../training/options.ts";
import { type TrainingListener, type TrainingSummary, train } from "../training/train.ts";
import type { Manifest } from "../training/work-folder.ts";
import {
  type BatchListener,
  type DrawOptions,
  drawRecipe,
  hashesOf,
  type RewardMeans,
  rewardMeans,
  SAMPLES_FILE,
} from "./batch.ts";
import { openBatchFolder } from "./batch-folder.ts";
import {
  type BatchPrompt,
  type BatchPrompts,
  hashOfPrompts,
  loadPrompts,
  type PromptOptions,
  readableBy,
  splitHeldOut,
} from "./prompts.ts";
import { drawing, samplePrompts } from "./sample-prompts.ts";
import { type Selection, type SelectionReport, selectRows } from "./selection.ts";
import { type Serve, type ServedInTurn, servedInTurn } from "./serve.ts";
import { writing } from "./writing.ts";

/** What of a training the batch does not decide itself. */
export type RaftTraining = Omit<
  TrainingOptions,
  "method" | "lossOptions" | "data" | "base" | "out" | "seed"
> & { readonly contextTokens: number | null };

export interface RaftOptions extends DrawOptions {
  readonly prompts: PromptOptions;
  /** The policy's checkpoint. */
  readonly policy: string;
  readonly k: number;
  /** At most. */
  readonly iterations: number;
  /** Prompts of an iteration, the next ones in each; null: all. */
  readonly iterationPrompts: number | null;
  /** Iterations without a higher held-out reward after which it ends; 0: it never does. */
  readonly patience: number;
  readonly selection: Selection;
  readonly takesUnfinished: boolean;
  /** Of a file's prompts those held out; the corpus has a side of its own. */
  readonly heldOut: number;
  /** Held-out prompts to evaluate on, at most. */
  readonly evaluate: number;
  readonly training: RaftTraining;
  readonly out: string;
}

export interface RaftListener extends BatchListener {
  readonly training: TrainingListener;
  onIteration(report: IterationReport): void;
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

export interface IterationReport {
  /** 0: the policy that it began with. */
  readonly iteration: number;
  readonly policy: string;
  readonly revision: string;
  readonly heldOut: HeldOutReport | null;
  /** What it was trained on, and how; null for iteration 0. */
  readonly made: {
    readonly rewards: RewardMeans;
    readonly selection: SelectionReport;
    readonly steps: number;
    readonly trainLoss: number | null;
    readonly files: Readonly<Record<string, string>>;
  } | null;
}

export interface RaftSummary {
  readonly mode: "raft";
  readonly out: string;
  readonly prompts: number;
  readonly heldOutPrompts: number;
  readonly repeatedPrompts: number;
  readonly droppedPrompts: number;
  readonly iterations: readonly IterationReport[];
  /** The iteration with the highest held-out reward; the last where nothing was held out. */
  readonly best: number;
}

const POLICY = "policy";
/** Before it is merged; with LoRA only. */
const ADAPTER = "adapter";
const WINNERS_FILE = "winners.jsonl";
const EVALUATION_FILE = "evaluation.jsonl";
/** Written last: what has it is done. */
const REPORT_FILE = "iteration.json";

const method = methods.find(({ loss }) => loss.name === "raft")!;

interface Parts {
  readonly runtime: Runtime;
  readonly options: RaftOptions;
  readonly listener: RaftListener;
  readonly models: ServedInTurn;
  /** Of the reward, at every policy the same. */
  readonly reward: string;
  readonly prompts: readonly BatchPrompt[];
  readonly heldOut: readonly BatchPrompt[];
}

/** @throws GatewayError for whatever is wrong with prompts, models, folder, memory or disk; training_diverged */
export async function raft(
  runtime: Runtime,
  serve: Serve,
  { options, listener }: { options: RaftOptions; listener: RaftListener },
): Promise<RaftSummary> {
  const asked = await loadPrompts(options.prompts);
  await openBase(options.policy, method); // what cannot be trained is refused before anything is sampled
  const models = servedInTurn(serve);
  try {
    const served = await models.at(null);
    const given = readableBy(served.policy, asked, options.prompts.badRows);
    const { prompts, heldOut } = splitHeldOut(given, {
      ...options.prompts,
      share: options.heldOut,
      count: options.evaluate,
    });
    if (options.patience > 0 && heldOut.length === 0) throw nothingToWaitFor();
    const recipe = recipeOf(options, {
      policy: `${served.policy.id}@${served.policy.revision}`,
      reward: `${served.reward}@${served.rewardRevision}`,
      prompts: hashOfPrompts(prompts),
      heldOut: hashOfPrompts(heldOut),
    });
    const folder = await openBatchFolder<RaftSummary>(options.out, recipe);
    try {
      if (folder.results) return folder.results;
      const { reward } = served;
      const parts = { runtime, options, listener, models, reward, prompts, heldOut };
      const iterations = await iterate(parts);
      const summary = summaryOf(options, { given, prompts, heldOut, iterations });
      await folder.finish(summary);
      return summary;
    } finally {
      await folder.release();
    }
  } finally {
    await models.letGo();
  }
}

function nothingToWaitFor(): GatewayError {
  const problem = "no prompt is held out that could tell; raise --held-out or --evaluate";
  return new GatewayError("invalid_request", { param: "--patience", problem });
}

async function iterate(parts: Parts): Promise<IterationReport[]> {
  const { iterations, policy, patience } = parts.options;
  const reports: IterationReport[] = [];
  let current: Current = { folder: null, base: policy };
  for (let iteration = 0; iteration <= iterations; iteration++) {
    const out = join(parts.options.out, `iteration-${iteration}`);
    await writing(out, () => mkdir(out, { recursive: true }));
    const file = join(out, REPORT_FILE);
    const report =
      (await readReport(file)) ?? (await iterateOnce(parts, { iteration, out, current }));
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
const bestOf = (reports: readonly IterationReport[]) =>
  reports.reduce((top, each) => {
    const [reward, highest] = [each, top].map((one) => one.heldOut?.reward.estimate ?? -Infinity);
    return reward! > highest! ? each : top;
  });

async function iterateOnce(parts: Parts, at: Iteration): Promise<IterationReport> {
  const { iteration, out, current } = at;
  const made = iteration === 0 ? null : await improve(parts, at);
  const folder = made ? made.out : current.folder;
  const heldOut = await evaluate(parts, { iteration, out, folder });
  const { policy } = await parts.models.at(folder);
  return {
    iteration,
    policy: folder ?? current.base,
    revision: policy.revision,
    heldOut,
    made: made?.report ?? null,
  };
}

/** @returns what a former run has left there, whole; null: it has not come so far. */
async function readReport(file: string): Promise<IterationReport | null> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as IterationReport; // written here
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

interface Current {
  /** null: as it is configured. */
  readonly folder: string | null;
  /** What is trained on. */
  readonly base: string;
}

interface Iteration {
  readonly iteration: number;
  readonly out: string;
  readonly current: Current;
}

/** Samples, filters, trains. */
async function improve(
  { runtime, options, listener, models, reward, prompts: all }: Parts,
  { iteration, out, current }: Iteration,
) {
  const { k, seed, training } = options;
  const prompts = sliceOf(all, iteration, options.iterationPrompts);
  const sampled = await samplePrompts(() => models.at(current.folder), {
    ...options,
    prompts,
    path: join(out, SAMPLES_FILE),
    alignment: { ...drawing(k), reward },
    choices: 1,
    seed: splitSeed(seed, iteration) >>> 0,
    onProgress: (done, total) =>
      listener.onProgress(`iteration ${iteration}, sampling`, done, total),
  });
  const { rows, report } = selectRows(prompts, sampled, options);
  const winners = join(out, WINNERS_FILE);
  if (rows.length === 0) throw withoutWinners(winners, report);
  await writing(winners, () => writeDataset(winners, formatNamed("prompt-completion"), rows));
  await models.letGo();
  const policy = join(out, POLICY);
  const trained = training.lora ? join(out, ADAPTER) : policy;
  const trainingOptions = trainingOf(options, { winners, base: current.base, out: trained });
  const { steps, trainLoss }: TrainingSummary = await train(
    runtime,
    trainingOptions,
    listener.training,
  );
  if (training.lora && !existsSync(policy)) await mergeAdapter(current.base, trained, policy); // whole or not at all
  const files = await hashesOf(out, [SAMPLES_FILE, WINNERS_FILE]);
  const rewards = rewardMeans(sampled);
  return { out: policy, report: { rewards, selection: report, steps, trainLoss, files } };
}

/** The next so many in each iteration; behind the last comes the first. */
function sliceOf<T>(all: readonly T[], iteration: number, count: number | null): readonly T[] {
  if (count === null || count >= all.length) return all;
  const start = (iteration - 1) * count;
  return Array.from({ length: count }, (_, i) => all[(start + i) % all.length]!);
}

function withoutWinners(file: string, { answers, unfinished }: SelectionReport): GatewayError {
  const problem = `of ${answers} answers none can be learnt from, ${unfinished} of them having been cut`;
  const remedy = "Raise --max-tokens, or take cut answers with --unfinished take.";
  return new GatewayError("dataset_unusable", { file, problem, remedy });
}

/** Nothing of the winners is held out: what they are worth, prompts tell that were held out before. */
function trainingOf(
  { training, seed }: RaftOptions,
  { winners, base, out }: { winners: string; base: string; out: string },
): TrainingOptions {
  const { contextTokens, ...shared } = training;
  return {
    ...shared,
    method,
    lossOptions: {},
    data: {
      files: [winners],
      heldOutFiles: [],
      heldOut: 0,
      format: "prompt-completion",
      rewardName: null,
      contextTokens,
      badRows: "refuse",
    },
    base,
    out,
    seed,
  };
}

async function evaluate(
  { options, listener, models, reward, heldOut }: Parts,
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

function summaryOf(
  { out }: RaftOptions,
  parts: {
    readonly given: BatchPrompts;
    readonly prompts: readonly BatchPrompt[];
    readonly heldOut: readonly BatchPrompt[];
    readonly iterations: readonly IterationReport[];
  },
): RaftSummary {
  const { given, prompts, heldOut, iterations } = parts;
  const last = iterations.at(-1);
  assert(last, "there is at least the policy that it began with");
  return {
    mode: "raft",
    out,
    prompts: prompts.length,
    heldOutPrompts: heldOut.length,
    repeatedPrompts: given.repeated,
    droppedPrompts: given.dropped,
    iterations,
    best: (heldOut.length > 0 ? bestOf(iterations) : last).iteration,
  };
}

/** Under the names of the command's flags. */
function recipeOf(
  options: RaftOptions,
  of: { policy: string; reward: string; prompts: string; heldOut: string },
): Manifest {
  return {
    mode: "raft",
    "--prompts": basename(options.prompts.source), // what is in it, the next tells
    "prompts, SHA-256": of.prompts,
    "held-out prompts, SHA-256": of.heldOut,
    policy: of.policy,
    reward: of.reward,
    "--k": options.k,
    "--iterations": options.iterations,
    "--iteration-prompts": options.iterationPrompts,
    "--patience": options.patience,
    ...drawRecipe(options),
    selection: JSON.stringify(options.selection),
    "--unfinished": options.takesUnfinished ? "take" : "drop",
    ...optimizationManifest(options.training),
    "--context-tokens": options.training.contextTokens,
  };
}

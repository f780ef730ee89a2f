/**
 * What each way of training makes of the same logged candidates: the base answers prompts k times, once; every trial learns
 * from rows made of those answers; and each policy that this gives answers held-out prompts, beside the base and its
 * best-of-n. What is there already, of a run that was cut short, is not done again.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { GatewayError } from "../../base/errors.ts";
import { type Domain, goldReward } from "../../corpus/index.ts";
import type { Runtime } from "../../onnx/runtime/index.ts";
import { bestOfNBound } from "../../strategies/kl.ts";
import { openBatchFolder } from "../batch/batch-folder.ts";
import { hashOfPrompts } from "../batch/prompts.ts";
import type { Serve, Served } from "../batch/serve.ts";
import { METRICS_FILE } from "../training/metrics.ts";
import { type OpenJudges, trainOnline } from "../training/online/train-online.ts";
import type { MetricsLine } from "../training/report.ts";
import { type TrainingListener, train } from "../training/train.ts";
import type { Manifest } from "../training/work-folder.ts";
import { formatFor, rowsOf, shuffledRewards, writeRows } from "./candidates.ts";
import {
  type AskedDomain,
  askedDomains,
  type DrawingOptions,
  type Drawn,
  drawAll,
} from "./drawing.ts";
import { figuresOf, type Measured, type PolicyFigures } from "./figures.ts";
import { type HeldOutPrompt, type JudgedAnswer, keptJudgements } from "./judge.ts";
import { type LikelihoodCurve, likelihoodCurve, writeWatchedPairs } from "./likelihood-curves.ts";
import { rolloutTrainingOf } from "./rollout-training.ts";
import { trainingOf } from "./trial-training.ts";
import { type CheckedTrial, checkedTrial, type RowsName, type TrainerTrial } from "./trials.ts";

export interface TrainersOptions extends DrawingOptions {
  readonly trials: readonly TrainerTrial[];
  /** The base's checkpoint. */
  readonly policy: string;
  readonly threads: number | null;
  readonly memoryBytesMax: number | null;
}

/** How the evaluation comes by what is served, and by what judges a policy in training. */
export interface TrainersModels {
  readonly serve: Serve;
  readonly openJudges: OpenJudges;
}

export interface TrainersListener {
  /** Of a stage, by its name. */
  onProgress(stage: string, done: number, total: number): void;
  readonly training: TrainingListener;
  /** When a policy has been judged. */
  onRow(row: TrainerRow): void;
}

/** One policy: the base, its best-of-n, or what a trial has made. */
export interface TrainerRow {
  readonly name: string;
  /** null: nothing was trained. */
  readonly trial: TrainerTrial | null;
  readonly steps: number;
  /** Of the steps alone. */
  readonly trainingSeconds: number;
  /** Of best-of-n, whose KL nobody can estimate from one answer's tokens; null: it is estimated. */
  readonly klBound: number | null;
  readonly all: PolicyFigures;
  readonly domains: Readonly<Partial<Record<Domain, PolicyFigures>>>;
}

export interface TrainersEvaluation extends Omit<DrawingOptions, "out"> {
  readonly model: string;
  readonly reward: string;
  /** The base, its best-of-n, the trials. */
  readonly rows: readonly TrainerRow[];
  /** Of trials on pairs. */
  readonly curves: readonly LikelihoodCurve[];
}

/** @throws GatewayError for whatever is wrong with trials, models, folder, memory or disk; training_diverged */
export async function evaluateTrainers(
  runtime: Runtime,
  { serve, openJudges }: TrainersModels,
  { options, listener }: { options: TrainersOptions; listener: TrainersListener },
): Promise<TrainersEvaluation> {
  const trials = options.trials.map(checkedTrial);
  refuseSameFolders(options.trials);
  const asked = askedDomains(options);
  const served = await serve(null);
  try {
    const folder = await openBatchFolder<never>(options.out, recipeOf(options, served, asked));
    try {
      const onProgress: TrainersListener["onProgress"] = (...of) => listener.onProgress(...of);
      const drawn = await drawAll(served, asked, options, onProgress);
      const models = { serve, openJudges, served };
      return await evaluateIn({ runtime, ...models, options, listener, trials, ...drawn });
    } finally {
      await folder.release();
    }
  } finally {
    await served.dispose();
  }
}

/** What decides the candidates and what policies are judged on; trials may come and go. Under the names of the flags. */
function recipeOf(
  options: TrainersOptions,
  { policy, reward, rewardRevision }: Served,
  asked: readonly AskedDomain[],
): Manifest {
  return {
    mode: "eval trainers",
    policy: `${policy.id}@${policy.revision}`,
    reward: `${reward}@${rewardRevision}`,
    "--domains": options.domains.join(" "),
    "--prompts": options.prompts,
    "prompts, SHA-256": hashOfPrompts(asked.flatMap((each) => each.train)),
    "--k": options.k,
    "--held-out": options.heldOut,
    "held-out prompts, SHA-256": hashOfPrompts(asked.flatMap((each) => each.heldOut)),
    "--samples": options.n,
    "--seed": options.seed,
  };
}

interface Parts extends Drawn, TrainersModels {
  readonly runtime: Runtime;
  /** The base. */
  readonly served: Served;
  readonly options: TrainersOptions;
  readonly listener: TrainersListener;
  readonly trials: readonly CheckedTrial[];
}

async function evaluateIn(parts: Parts): Promise<TrainersEvaluation> {
  const { served, options, listener, heldOut } = parts;
  const { domains, prompts, k, n, seed } = options;
  const judged = await judge(parts, { stage: "base", folder: "base", serve: async () => served });
  const sides = { base: measuredBy(judged, heldOut), best: heldOut.map(bestOf) };
  const rows: TrainerRow[] = [];
  const add = (row: Omit<TrainerRow, "all" | "domains">, own: readonly Measured[]) => {
    rows.push({ ...row, ...figuresByDomain(domains, { own, ...sides }) });
    listener.onRow(rows.at(-1)!);
  };
  const untrained = { trial: null, steps: 0, trainingSeconds: 0 };
  add({ ...untrained, name: served.policy.id, klBound: null }, sides.base);
  add({ ...untrained, name: `best-of-${n}`, klBound: bestOfNBound(n) }, sides.best);
  const watchedPairs = await writeWatchedPairs(options.out, heldOut);
  const curves: LikelihoodCurve[] = [];
  for (const checked of parts.trials) {
    const { trial } = checked;
    const { name } = trial;
    const lines = await trainTrial(parts, checked, watchedPairs);
    const own = measuredBy(await judgeTrial(parts, name), heldOut);
    const steps = lines.filter((line) => line["split"] === "train");
    const trainingSeconds = steps.reduce((sum, line) => sum + Number(line["seconds"]), 0);
    add({ name, trial, steps: steps.length, trainingSeconds, klBound: null }, own);
    curves.push(likelihoodCurve(name, lines, { heldOut, judged }));
  }
  return {
    domains,
    prompts,
    k,
    heldOut: options.heldOut,
    n,
    seed,
    model: served.policy.id,
    reward: served.reward,
    rows,
    curves: curves.filter(({ points }) => points.length > 0),
  };
}

const trialFolder = (name: string) => join("trials", folderOf(name));

/** Trains, unless that is done. @returns what each step said. */
async function trainTrial(
  parts: Parts,
  checked: CheckedTrial,
  watchedPairs: string | null,
): Promise<readonly MetricsLine[]> {
  const { runtime, openJudges, options, listener } = parts;
  const { name, rows } = checked.trial;
  const out = join(options.out, trialFolder(name));
  if (typeof rows === "string") {
    const data = await writeRowsFor(parts, rows, checked.trial);
    const asked = trainingOf(checked, options, { data, rows, watchedPairs, out });
    await train(runtime, asked, listener.training);
  } else {
    const asked = rolloutTrainingOf(checked, rows, { ...options, out });
    await trainOnline(runtime, openJudges, { options: asked, listener: listener.training });
  }
  const metrics = await readFile(join(out, METRICS_FILE), "utf8");
  const lines = metrics.trim().split("\n");
  return lines.map((line) => JSON.parse(line) as MetricsLine); // written by the training
}

async function writeRowsFor(
  { options: { out, seed }, candidates }: Parts,
  rows: RowsName,
  { isShuffled }: TrainerTrial,
): Promise<string> {
  const given = isShuffled ? shuffledRewards(candidates, seed) : candidates;
  const made = { rows: rowsOf(given, rows, seed), format: formatFor(rows) };
  const data = await writeRows(join(out, "data"), isShuffled ? `${rows}-shuffled` : rows, made);
  if (made.rows.length === 0) throw withoutRows(data, rows);
  return data;
}

function withoutRows(file: string, rows: string): GatewayError {
  const problem = `the candidates make no rows of '${rows}': none that ended by itself is better than another`;
  const remedy = "Draw more with --k or --prompts, into another --out.";
  return new GatewayError("dataset_unusable", { file, problem, remedy });
}

/** Its judgements are kept in the model's folder: whoever removes that has both made anew. */
async function judgeTrial(parts: Parts, name: string): Promise<readonly JudgedAnswer[]> {
  const folder = trialFolder(name);
  let served: Served | null = null;
  const serve = async () => (served = await parts.serve(join(parts.options.out, folder)));
  try {
    return await judge(parts, { stage: name, folder, serve });
  } finally {
    await (served as Served | null)?.dispose(); // assigned by the call, which the compiler does not see
  }
}

interface Judging {
  /** Of the progress. */
  readonly stage: string;
  /** In `--out`. */
  readonly folder: string;
  /** Asked once at most. */
  readonly serve: () => Promise<Served>;
}

function judge(
  { served: base, options, listener, heldOut }: Parts,
  { stage, folder, serve }: Judging,
): Promise<readonly JudgedAnswer[]> {
  return keptJudgements(join(options.out, folder), serve, {
    base: base.policy,
    prompts: heldOut,
    seed: options.seed,
    onProgress: (done, total) => listener.onProgress(`${stage}, judged`, done, total),
  });
}

const measuredBy = (
  judged: readonly JudgedAnswer[],
  heldOut: readonly HeldOutPrompt[],
): Measured[] => heldOut.map(({ corpus }, i) => ({ ...judged[i]!, domain: corpus.facts.domain }));

function bestOf({ corpus, best: { text, reward, tokens } }: HeldOutPrompt): Measured {
  const { total, correct } = goldReward(corpus, text);
  return {
    domain: corpus.facts.domain,
    gold: total,
    isRight: correct,
    reward,
    tokens,
    k1: null,
    k3: null,
    pair: null,
  };
}

function figuresByDomain(
  domains: readonly Domain[],
  sides: Readonly<Record<"own" | "base" | "best", readonly Measured[]>>,
): Pick<TrainerRow, "all" | "domains"> {
  const within = (domain: Domain) => {
    const of = (some: readonly Measured[]) => some.filter((each) => each.domain === domain);
    return figuresOf({ own: of(sides.own), base: of(sides.base), best: of(sides.best) });
  };
  const byDomain = domains.map((domain) => [domain, within(domain)] as const);
  return { all: figuresOf(sides), domains: Object.fromEntries(byDomain) };
}

/** Letters and digits of the name. */
const folderOf = (name: string): string =>
  name
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(Boolean)
    .join("-");

function refuseSameFolders(trials: readonly TrainerTrial[]): void {
  const folders = trials.map(({ name }) => folderOf(name));
  const at = folders.findIndex((folder, i) => folder === "" || folders.indexOf(folder) < i);
  if (at < 0) return;
  const problem =
    folders[at] === ""
      ? `the name '${trials[at]!.name}' has neither letters nor digits`
      : `two of them would be kept in the folder '${folders[at]}'; give each a name of its own`;
  throw new GatewayError("invalid_request", { param: "trials", problem });
}

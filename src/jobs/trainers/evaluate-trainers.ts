/**
 * What each way of training makes of the same logged candidates: the base answers prompts k times, once; every trial learns
 * from rows made of those answers; and each policy that this gives answers held-out prompts, beside the base and its
 * best-of-n. What is there already, of a run that was cut short, is not done again.
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../base/assert.ts";
import { writeFileAtomically } from "../../base/atomic-file.ts";
import { GatewayError } from "../../base/errors.ts";
import { isMissing } from "../../base/json-file.ts";
import { splitSeed } from "../../base/random.ts";
import { meanOf } from "../../base/statistics.ts";
import { type Domain, goldReward } from "../../corpus/index.ts";
import type { RewardedPrompt } from "../../datasets/rewarded.ts";
import type { PairRow } from "../../datasets/types.ts";
import type { Runtime } from "../../onnx/runtime/index.ts";
import { bestOfNBound } from "../../strategies/kl.ts";
import { openBatchFolder } from "../batch/batch-folder.ts";
import { type BatchPrompt, corpusPrompts, hashOfPrompts } from "../batch/prompts.ts";
import { samplePrompts } from "../batch/sample-prompts.ts";
import type { Serve, Served } from "../batch/serve.ts";
import { writing } from "../batch/writing.ts";
import { ANSWER_TOKENS_MAX } from "../in-turns.ts";
import { METRICS_FILE } from "../training/metrics.ts";
import type { MetricsLine } from "../training/report.ts";
import { type TrainingListener, train } from "../training/train.ts";
import type { Manifest } from "../training/work-folder.ts";
import { candidatesOf, formatFor, rowsOf, shuffledRewards, writeRows } from "./candidates.ts";
import { figuresOf, type Measured, type PolicyFigures } from "./figures.ts";
import { type HeldOutPrompt, heldOutPrompt, type JudgedAnswer, judgePolicy } from "./judge.ts";
import { trainingOf } from "./trial-training.ts";
import { type CheckedTrial, checkedTrial, type TrainerTrial } from "./trials.ts";

export interface TrainersOptions {
  readonly trials: readonly TrainerTrial[];
  readonly domains: readonly Domain[];
  /** Of each domain, to draw candidates for. */
  readonly prompts: number;
  /** Candidates of a prompt. */
  readonly k: number;
  /** Prompts of each domain that policies are judged on. */
  readonly heldOut: number;
  /** Of the base's best-of-n. */
  readonly n: number;
  /** The base's checkpoint. */
  readonly policy: string;
  readonly seed: number;
  readonly threads: number | null;
  readonly memoryBytesMax: number | null;
  readonly out: string;
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

/** log π of the same held-out answers while a trial learns, nats an answer. */
export interface LikelihoodCurve {
  readonly name: string;
  readonly points: readonly {
    readonly step: number;
    readonly chosen: number;
    readonly rejected: number;
  }[];
}

export interface TrainersEvaluation
  extends Pick<TrainersOptions, "domains" | "prompts" | "k" | "heldOut" | "n" | "seed"> {
  readonly model: string;
  readonly reward: string;
  /** The base, its best-of-n, the trials. */
  readonly rows: readonly TrainerRow[];
  /** Of trials on pairs. */
  readonly curves: readonly LikelihoodCurve[];
}

/** Held-out pairs of each domain that curves are made of. */
const CURVE_PAIRS = 24;
const JUDGED_FILE = "judged.json";

/** @throws GatewayError for whatever is wrong with trials, models, folder, memory or disk; training_diverged */
export async function evaluateTrainers(
  runtime: Runtime,
  serve: Serve,
  { options, listener }: { options: TrainersOptions; listener: TrainersListener },
): Promise<TrainersEvaluation> {
  const trials = options.trials.map(checkedTrial);
  refuseSameFolders(options.trials);
  const served = await serve(null);
  try {
    const asked = options.domains.map((domain) => askedOf(domain, options));
    const folder = await openBatchFolder<never>(options.out, recipeOf(options, served, asked));
    try {
      return await evaluateIn({ runtime, serve, served, options, listener, trials, asked });
    } finally {
      await folder.release();
    }
  } finally {
    await served.dispose();
  }
}

interface Asked {
  readonly domain: Domain;
  readonly train: readonly BatchPrompt[];
  readonly heldOut: readonly BatchPrompt[];
}

function askedOf(domain: Domain, { prompts, heldOut, seed }: TrainersOptions): Asked {
  return {
    domain,
    train: corpusPrompts({ domain, side: "train", count: prompts, seed }),
    heldOut: corpusPrompts({ domain, side: "heldout", count: heldOut, seed }),
  };
}

/** What decides the candidates and what policies are judged on; trials may come and go. Under the names of the flags. */
function recipeOf(
  options: TrainersOptions,
  { policy, reward, rewardRevision }: Served,
  asked: readonly Asked[],
): Manifest {
  return {
    mode: "eval trainers",
    policy: `${policy.id}@${policy.revision}`,
    reward: `${reward}@${rewardRevision}`,
    "--domains": options.domains.join(" "),
    "--prompts": options.prompts,
    "prompts, SHA-256": hashOfPrompts(asked.flatMap(({ train: prompts }) => prompts)),
    "--k": options.k,
    "--held-out": options.heldOut,
    "held-out prompts, SHA-256": hashOfPrompts(asked.flatMap(({ heldOut }) => heldOut)),
    "--samples": options.n,
    "--seed": options.seed,
  };
}

interface Parts {
  readonly runtime: Runtime;
  readonly serve: Serve;
  /** The base. */
  readonly served: Served;
  readonly options: TrainersOptions;
  readonly listener: TrainersListener;
  readonly trials: readonly CheckedTrial[];
  readonly asked: readonly Asked[];
}

async function evaluateIn(parts: Parts): Promise<TrainersEvaluation> {
  const { served, options, listener, trials } = parts;
  const { domains, prompts, k, heldOut: heldOutCount, n, seed } = options;
  const candidates = await drawCandidates(parts);
  const heldOut = await drawHeldOut(parts);
  const curvePairs = await writeCurvePairs(options.out, heldOut);
  const base = await judgedIn(parts, { stage: "base", path: "base", heldOut, served });
  const sides = { base: measuredBy(base, heldOut), best: bestOf(heldOut) };
  const rows: TrainerRow[] = [];
  const add = (row: Omit<TrainerRow, "all" | "domains">, own: readonly Measured[]) => {
    rows.push({ ...row, ...figuresByDomain(domains, { own, ...sides }) });
    listener.onRow(rows.at(-1)!);
  };
  const untrained = { trial: null, steps: 0, trainingSeconds: 0 };
  add({ ...untrained, name: served.policy.id, klBound: null }, sides.base);
  add({ ...untrained, name: `best-of-${n}`, klBound: bestOfNBound(n) }, sides.best);
  const curves: LikelihoodCurve[] = [];
  const start = likelihoodOf(base, heldOut);
  for (const checked of trials) {
    const { trial } = checked;
    const { judged, lines } = await trialIn(parts, { checked, candidates, heldOut, curvePairs });
    const steps = lines.filter((line) => line["split"] === "train");
    const trainingSeconds = steps.reduce((sum, line) => sum + Number(line["seconds"]), 0);
    add(
      { name: trial.name, trial, steps: steps.length, trainingSeconds, klBound: null },
      measuredBy(judged, heldOut),
    );
    const curve = curveOf(trial.name, lines);
    if (curve.points.length > 0 && start)
      curves.push({ ...curve, points: [start, ...curve.points] });
  }
  const { policy, reward } = served;
  const sizes = { domains, prompts, k, heldOut: heldOutCount, n, seed };
  return { ...sizes, model: policy.id, reward, rows, curves };
}

/** All domains' together: every trial learns from both kinds of prompts at once. */
async function drawCandidates(parts: Parts): Promise<readonly RewardedPrompt[]> {
  const { options, asked } = parts;
  const drawn: RewardedPrompt[] = [];
  for (const { domain, train: prompts } of asked) {
    const name = `candidates-${domain}`;
    const sampled = await draw(parts, { name, prompts, n: options.k, seed: options.seed });
    drawn.push(...candidatesOf(prompts, sampled));
  }
  return drawn;
}

/** By domain, in the order of `domains`. */
async function drawHeldOut(parts: Parts): Promise<readonly (readonly HeldOutPrompt[])[]> {
  const { options, asked } = parts;
  const drawn: HeldOutPrompt[][] = [];
  for (const { domain, heldOut: prompts } of asked) {
    const seed = splitSeed(options.seed, 1) >>> 0;
    const sampled = await draw(parts, { name: `held-out-${domain}`, prompts, n: options.n, seed });
    drawn.push(
      prompts.map((prompt, i) => {
        assert(prompt.corpus, "prompts of the corpus carry their facts");
        return heldOutPrompt(prompt, prompt.corpus, sampled[i]!);
      }),
    );
  }
  return drawn;
}

function draw(
  { served, options, listener }: Parts,
  asked: {
    readonly name: string;
    readonly prompts: readonly BatchPrompt[];
    readonly n: number;
    readonly seed: number;
  },
) {
  const { name, prompts, n, seed } = asked;
  return samplePrompts(async () => served, {
    prompts,
    path: join(options.out, `${name}.jsonl`),
    alignment: { strategy: "best-of-n", reward: served.reward, options: { n } },
    choices: 1,
    k: n,
    temperature: 1,
    topP: 1,
    maxTokens: ANSWER_TOKENS_MAX,
    seed,
    onProgress: (done, total) => listener.onProgress(name, done, total),
  });
}

const hasPair = (each: HeldOutPrompt) => each.pair !== null;

/** @returns the file; null: no prompt has a pair. */
async function writeCurvePairs(
  out: string,
  heldOut: readonly (readonly HeldOutPrompt[])[],
): Promise<string | null> {
  const rows = heldOut.flatMap((some) =>
    some
      .filter(hasPair)
      .slice(0, CURVE_PAIRS)
      .map(({ prompt: { prompt, place }, pair }): PairRow => {
        return { kind: "pair", prompt, ...pair!, place };
      }),
  );
  if (rows.length === 0) return null;
  return writeRows(join(out, "data"), "held-out-pairs", { rows, format: "preference" });
}

/** What the base says of the curves' pairs: where every curve begins. */
function likelihoodOf(
  judged: Judgements,
  heldOut: readonly (readonly HeldOutPrompt[])[],
): LikelihoodCurve["points"][number] | null {
  const pairs = heldOut.flatMap((some, domain) =>
    some
      .flatMap((each, i) => (hasPair(each) ? [judged[domain]![i]!.pair!] : []))
      .slice(0, CURVE_PAIRS),
  );
  if (pairs.length === 0) return null;
  return {
    step: 0,
    chosen: meanOf(pairs.map(({ chosen }) => chosen)),
    rejected: meanOf(pairs.map(({ rejected }) => rejected)),
  };
}

function curveOf(name: string, lines: readonly MetricsLine[]): LikelihoodCurve {
  const points = lines.flatMap((line) => {
    const { step, split, chosen_logp: chosen, rejected_logp: rejected } = line;
    if (split !== "held-out" || chosen === undefined || rejected === undefined) return [];
    return [{ step: Number(step), chosen: Number(chosen), rejected: Number(rejected) }];
  });
  return { name, points };
}

interface TrialParts {
  readonly checked: CheckedTrial;
  readonly candidates: readonly RewardedPrompt[];
  readonly heldOut: readonly (readonly HeldOutPrompt[])[];
  readonly curvePairs: string | null;
}

/** Trains, unless that is done, and judges what came of it. */
async function trialIn(
  parts: Parts,
  { checked, candidates, heldOut, curvePairs }: TrialParts,
): Promise<{ readonly judged: Judgements; readonly lines: readonly MetricsLine[] }> {
  const { runtime, serve, options, listener } = parts;
  const { name, rows, isShuffled } = checked.trial;
  const out = join("trials", folderOf(name));
  const given = isShuffled ? shuffledRewards(candidates, options.seed) : candidates;
  const data = await writeRows(join(options.out, "data"), isShuffled ? `${rows}-shuffled` : rows, {
    rows: rowsOf(given, rows, options.seed),
    format: formatFor(rows),
  });
  const policy = join(options.out, out, "policy");
  await train(
    runtime,
    trainingOf(checked, options, { data, heldOut: curvePairs, out: policy }),
    listener.training,
  );
  const judged = await judgedIn(parts, { stage: name, path: out, heldOut, folder: policy, serve });
  const metrics = await readFile(join(policy, METRICS_FILE), "utf8");
  const lines = metrics
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as MetricsLine); // written by the training
  return { judged, lines };
}

/** By domain. */
type Judgements = readonly (readonly JudgedAnswer[])[];

type WhichPolicy = { readonly served: Served } | { readonly folder: string; readonly serve: Serve };

/** Judges a policy, unless its judgements are there: they are written once all are there. */
async function judgedIn(
  parts: Parts,
  {
    stage,
    path,
    heldOut,
    ...which
  }: {
    readonly stage: string;
    readonly path: string;
    readonly heldOut: readonly (readonly HeldOutPrompt[])[];
  } & WhichPolicy,
): Promise<Judgements> {
  const { options, listener } = parts;
  const folder = join(options.out, path);
  const file = join(folder, JUDGED_FILE);
  const found = await readJudgements(file);
  if (found) return found;
  await writing(folder, () => mkdir(folder, { recursive: true }));
  const served = "served" in which ? which.served : await which.serve(which.folder);
  try {
    const judged = await judgePolicy({
      served,
      base: parts.served.policy,
      prompts: heldOut.flat(),
      seed: splitSeed(options.seed, 2) >>> 0,
      onProgress: (done, total) => listener.onProgress(`${stage}, judged`, done, total),
    });
    let from = 0;
    const byDomain = heldOut.map((some) => judged.slice(from, (from += some.length)));
    await writing(file, () => writeFileAtomically(file, [JSON.stringify(byDomain), "\n"]));
    return byDomain;
  } finally {
    if (!("served" in which)) await served.dispose();
  }
}

async function readJudgements(file: string): Promise<Judgements | null> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Judgements; // written here, whole
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

const measuredBy = (
  judged: Judgements,
  heldOut: readonly (readonly HeldOutPrompt[])[],
): Measured[] =>
  heldOut.flatMap((some, at) =>
    some.map(({ corpus }, i) => ({ ...judged[at]![i]!, domain: corpus.facts.domain })),
  );

function bestOf(heldOut: readonly (readonly HeldOutPrompt[])[]): Measured[] {
  return heldOut.flat().map(({ corpus, best }) => {
    const { total, correct } = goldReward(corpus, best.text);
    return {
      domain: corpus.facts.domain,
      gold: total,
      isRight: correct,
      reward: best.reward,
      tokens: best.tokens,
      k1: null,
      k3: null,
      pair: null,
    };
  });
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

/**
 * Imitation in iterations. The current policy answers the prompts of demonstrations; its own answers are the negatives.
 * - self-play (`spin`, `gsil`): the policy learns to tell demonstrations from what it said itself, and is the next
 *   iteration's opponent and reference.
 * - with a reward (`irl`, `aihf`, `gail`, `airl`, `fairl`): a reward model learns to tell them apart, from where the last
 *   iteration left it, for `aihf` together with labelled pairs; then the policy learns the best of k new answers by it
 *   (`raft`), or the best against the worst (`dpo`). What ranks answers is the reward's score, which the policy's own reward
 *   of each divergence rises with.
 * Evaluated by another reward, which has no part in it.
 * Sources: Chen et al., arXiv:2401.01335, algorithm 1; Xiao et al., arXiv:2410.10093; Li et al., arXiv:2406.06874,
 * algorithm 1 (`irl` is α = 0); Ho & Ermon, arXiv:1606.03476; Fu et al., arXiv:1710.11248.
 */
import { basename, join } from "node:path";
import type { Static, TObject } from "typebox";
import { GatewayError } from "../../base/errors.ts";
import { splitSeed } from "../../base/random.ts";
import { formatNamed, openDataset } from "../../datasets/read.ts";
import type { DatasetRow } from "../../datasets/types.ts";
import { writeDataset } from "../../datasets/write.ts";
import type { Runtime } from "../../onnx/runtime/index.ts";
import { openBase } from "../training/base.ts";
import { type Method, methods } from "../training/methods.ts";
import { type TrainingSummary, train } from "../training/train.ts";
import type { Manifest } from "../training/work-folder.ts";
import { hashesOf, SAMPLES_FILE } from "./batch.ts";
import { type Demonstrations, loadDemonstrations, ownPairs } from "./demonstrations.ts";
import {
  type Iterating,
  type IterationListener,
  type IterationOptions,
  type IterationReport,
  type IterationsSummary,
  iterate,
  type Stage,
  sliceOf,
  trainPolicy,
} from "./iterations.ts";
import type { BatchPrompt } from "./prompts.ts";
import { withoutWinners } from "./raft.ts";
import { drawing, samplePrompts } from "./sample-prompts.ts";
import { type SelectionReport, selectRows } from "./selection.ts";
import type { Serve } from "./serve.ts";
import { writing } from "./writing.ts";

/** The loss that tells demonstrations from own answers, and what is fixed of its options. */
interface Discriminating {
  readonly loss: string;
  readonly fixed: Readonly<Record<string, unknown>>;
}

export const imitations = {
  spin: { loss: "spin", fixed: {} },
  gsil: { loss: "gsil", fixed: {} },
  irl: { loss: "aihf", fixed: { preference_weight: 0 } },
  aihf: { loss: "aihf", fixed: {} },
  gail: { loss: "adversarial", fixed: { divergence: "gail" } },
  airl: { loss: "adversarial", fixed: { divergence: "airl" } },
  fairl: { loss: "adversarial", fixed: { divergence: "fairl" } },
} as const satisfies Readonly<Record<string, Discriminating>>;
export type Imitation = keyof typeof imitations;
export const imitationNames = Object.keys(imitations) as readonly Imitation[]; // the keys of a constant

const methodNamed = (name: string): Method => methods.find(({ loss }) => loss.name === name)!; // of this file's tables
export const discriminator = (name: Imitation): Method => methodNamed(imitations[name].loss);

export const improvements = ["raft", "dpo"] as const;

export interface RewardLearning {
  /** Files of labelled pairs; for `aihf` alone. */
  readonly preferences: readonly string[];
  /** What the first reward is trained from; null: the policy, with a head of zeros. */
  readonly base: string | null;
  readonly epochs: number;
  readonly learningRate: number;
  /** How the policy learns from it, by how many answers. */
  readonly improve: (typeof improvements)[number];
  readonly improveOptions: Static<TObject>;
  readonly k: number;
}

export interface ImitateOptions extends IterationOptions {
  readonly imitation: Imitation;
  /** Of the loss that discriminates. */
  readonly lossOptions: Static<TObject>;
  /** Own answers to each prompt. */
  readonly own: number;
  /** null: self-play, which has none. */
  readonly learning: RewardLearning | null;
}

export interface ImitateMade {
  readonly pairs: number;
  readonly imitated: number;
  readonly unfit: number;
  readonly reward: Pick<TrainingSummary, "steps" | "trainLoss" | "heldOutLoss"> | null;
  readonly selection: SelectionReport | null;
  readonly steps: number;
  readonly trainLoss: number | null;
  readonly files: Readonly<Record<string, string>>;
}
export type ImitateReport = IterationReport<ImitateMade>;
export type ImitateSummary = IterationsSummary<ImitateMade>;

const OWN_FILE = "own.jsonl";
const PAIRS_FILE = "pairs.jsonl";
const LEARNT_FILE = "learnt.jsonl";
const REWARD = "reward";
/** Of the prompts, to tell how well the reward generalises. */
const REWARD_HELD_OUT = 0.1;
/** By which rewards of a pair differ at least. */
const GAP_MIN = 0.01;

interface Parts extends Iterating<ImitateMade> {
  readonly options: ImitateOptions;
  readonly demonstrations: Demonstrations;
}

/** @throws GatewayError for whatever is wrong with data, models, folder, memory or disk; training_diverged */
export async function imitate(
  runtime: Runtime,
  serve: Serve,
  { options, listener }: { options: ImitateOptions; listener: IterationListener<ImitateMade> },
): Promise<ImitateSummary> {
  const demonstrations = await loadDemonstrations(options.prompts);
  for (const file of options.learning?.preferences ?? []) await openDataset(file);
  const method = discriminator(options.imitation);
  await openBase(rewardBase(options) ?? options.policy, method); // refused before anything is sampled
  const recipe = await recipeOf(options, demonstrations);
  return iterate(
    runtime,
    serve,
    { options, listener },
    {
      mode: options.imitation,
      asked: demonstrations.given,
      recipe,
      improve: (parts, stage) => improve({ ...parts, options, demonstrations }, stage),
    },
  );
}

async function improve(parts: Parts, stage: Stage): Promise<ImitateMade> {
  const { options } = parts;
  const prompts = sliceOf(parts.prompts, stage.iteration, options.iterationPrompts);
  const { pairs, ...found } = await pairsOf(parts, stage, prompts);
  const counts = { ...found, pairs: pairs.rows };
  await parts.models.letGo();
  if (options.learning) {
    const made = await learnByReward(parts, stage, { prompts, pairs: pairs.file });
    return { ...counts, ...made };
  }
  const { lossOptions, imitation } = options;
  const method = discriminator(imitation);
  const learning = { method, lossOptions, file: pairs.file, format: "preference" };
  const { steps, trainLoss } = await learnt(parts, stage, learning);
  const files = await hashesOf(stage.out, [OWN_FILE, PAIRS_FILE]);
  return { ...counts, reward: null, selection: null, steps, trainLoss, files };
}

/** Demonstrations against what the policy of now says itself. */
async function pairsOf(
  parts: Parts,
  { iteration, out, current }: Stage,
  prompts: readonly BatchPrompt[],
) {
  const { options, listener, models, demonstrations } = parts;
  const sampled = await samplePrompts(() => models.at(current.folder), {
    ...options,
    prompts,
    path: join(out, OWN_FILE),
    alignment: { strategy: "sample", reward: null, options: {} },
    choices: options.own,
    k: options.own,
    seed: splitSeed(options.seed, 2 * iteration - 1) >>> 0,
    onProgress: (done, total) =>
      listener.onProgress(`iteration ${iteration}, own answers`, done, total),
  });
  const { rows, imitated, unfit } = ownPairs(
    prompts,
    sampled,
    demonstrations,
    options.takesUnfinished,
  );
  const file = join(out, PAIRS_FILE);
  if (rows.length === 0) throw withoutPairs(file, { imitated, unfit });
  await write(file, "preference", rows);
  return { pairs: { rows: rows.length, file }, imitated, unfit };
}

function withoutPairs(file: string, { imitated, unfit }: { imitated: number; unfit: number }) {
  const problem = `none of the policy's answers can be told from a demonstration: ${imitated} are one, ${unfit} were cut or are empty`;
  const remedy = "Raise --max-tokens or --own; if it imitates already, there is nothing to learn.";
  return new GatewayError("dataset_unusable", { file, problem, remedy });
}

/** A reward from the pairs; then the policy, from new answers that it judges. */
async function learnByReward(
  parts: Parts,
  stage: Stage,
  { prompts, pairs }: { prompts: readonly BatchPrompt[]; pairs: string },
): Promise<Omit<ImitateMade, "pairs" | "imitated" | "unfit">> {
  const { options, listener, models } = parts;
  const { iteration, out, current } = stage;
  const { k, improve: name, improveOptions } = options.learning!;
  const {
    steps: rewardSteps,
    trainLoss: rewardLoss,
    heldOutLoss,
  } = await learnReward(parts, stage, pairs);
  const folder = join(out, REWARD);
  const served = () => models.at(current.folder, folder);
  const sampled = await samplePrompts(served, {
    ...options,
    prompts,
    path: join(out, SAMPLES_FILE),
    alignment: { ...drawing(k), reward: REWARD },
    choices: 1,
    k,
    seed: splitSeed(options.seed, 2 * iteration) >>> 0,
    onProgress: (done, total) =>
      listener.onProgress(`iteration ${iteration}, sampling`, done, total),
  });
  await models.letGo();
  const { takesUnfinished, seed } = options;
  const kinds = {
    raft: { selection: { kind: "best" }, format: "prompt-completion" },
    dpo: {
      selection: { kind: "pairs", rule: "max_min", gapMin: GAP_MIN, lengthPenalty: 0, seed },
      format: "preference",
    },
  } as const;
  const { selection, format } = kinds[name];
  const { rows, report } = selectRows(prompts, sampled, { selection, takesUnfinished });
  const file = join(out, LEARNT_FILE);
  if (rows.length === 0) throw withoutWinners(file, report);
  await write(file, format, rows);
  const learning = { method: methodNamed(name), lossOptions: improveOptions, file, format };
  const { steps, trainLoss } = await learnt(parts, stage, learning);
  return {
    reward: { steps: rewardSteps, trainLoss: rewardLoss, heldOutLoss },
    selection: report,
    steps,
    trainLoss,
    files: await hashesOf(out, [OWN_FILE, PAIRS_FILE, SAMPLES_FILE, LEARNT_FILE]),
  };
}

function learnReward(
  parts: Parts,
  { iteration, out }: Stage,
  pairs: string,
): Promise<TrainingSummary> {
  const { runtime, options, listener } = parts;
  const { preferences, epochs, learningRate } = options.learning!;
  const { contextTokens, ...training } = options.training;
  const former = join(options.out, `iteration-${iteration - 1}`, REWARD);
  const first = rewardBase(options) ?? options.policy;
  return train(
    runtime,
    {
      ...training,
      lora: null,
      epochs,
      learningRate,
      schedule: "constant", // an iteration may be a step or two, which a falling rate would make nothing of
      method: discriminator(options.imitation),
      lossOptions: options.lossOptions,
      data: {
        files: [pairs, ...preferences],
        heldOutFiles: [],
        heldOut: REWARD_HELD_OUT,
        format: null,
        rewardName: null,
        contextTokens,
        badRows: "refuse",
      },
      base: iteration === 1 ? first : former,
      out: join(out, REWARD),
      seed: options.seed,
    },
    listener.training,
  );
}

const rewardBase = ({ learning }: ImitateOptions) => learning?.base ?? null;

const learnt = (
  { runtime, options, listener }: Parts,
  { out, current }: Stage,
  learning: Parameters<typeof trainPolicy>[2],
) => trainPolicy(runtime, options, learning, { out, current, listener: listener.training });

const write = (file: string, format: string, rows: readonly DatasetRow[]) =>
  writing(file, () => writeDataset(file, formatNamed(format), rows));

/** Under the names of the command's flags. */
async function recipeOf(
  options: ImitateOptions,
  demonstrations: Demonstrations,
): Promise<Manifest> {
  const { learning } = options;
  return {
    "--demonstrations": basename(options.prompts.source), // what is in it, the next tells
    "demonstrations, SHA-256": demonstrations.sha256,
    loss: JSON.stringify(options.lossOptions),
    "--own": options.own,
    ...(learning && {
      "--k": learning.k,
      "--improve": learning.improve,
      improvement: JSON.stringify(learning.improveOptions),
      "--reward-epochs": learning.epochs,
      "--reward-learning-rate": learning.learningRate,
      "--reward-base":
        learning.base && (await openBase(learning.base, discriminator(options.imitation))).sha256,
      "preferences, SHA-256": await hashOfAll(learning.preferences),
    }),
  };
}

async function hashOfAll(files: readonly string[]): Promise<string> {
  const hashes: string[] = [];
  for (const file of files) hashes.push((await hashesOf("", [file]))[file]!);
  return hashes.join(" ");
}

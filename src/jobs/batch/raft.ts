/**
 * RAFT in iterations: the current policy answers every prompt k times, the reward filters, the winners are learnt with the
 * loss `raft`, and the policy that this gives answers in the next iteration.
 * Source: Dong et al., arXiv:2304.06767, algorithm 1; "top" over all as LMFlow, best per prompt as RLHFlow.
 */
import { basename, join } from "node:path";
import { GatewayError } from "../../base/errors.ts";
import { splitSeed } from "../../base/random.ts";
import { formatNamed } from "../../datasets/read.ts";
import { writeDataset } from "../../datasets/write.ts";
import type { Runtime } from "../../onnx/runtime/index.ts";
import { openBase } from "../training/base.ts";
import { methods } from "../training/methods.ts";
import { hashesOf, type RewardMeans, rewardMeans, SAMPLES_FILE } from "./batch.ts";
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
import { loadPrompts } from "./prompts.ts";
import { drawing, samplePrompts } from "./sample-prompts.ts";
import { type Selection, type SelectionReport, selectRows } from "./selection.ts";
import type { Serve } from "./serve.ts";
import { writing } from "./writing.ts";

export interface RaftOptions extends IterationOptions {
  readonly k: number;
  readonly selection: Selection;
}

/** What a policy was trained on, and how. */
export interface RaftMade {
  readonly rewards: RewardMeans;
  readonly selection: SelectionReport;
  readonly steps: number;
  readonly trainLoss: number | null;
  readonly files: Readonly<Record<string, string>>;
}

export type RaftReport = IterationReport<RaftMade>;
export type RaftSummary = IterationsSummary<RaftMade>;

const WINNERS_FILE = "winners.jsonl";

const method = methods.find(({ loss }) => loss.name === "raft")!;

interface Parts extends Iterating<RaftMade> {
  readonly options: RaftOptions;
}

/** @throws GatewayError for whatever is wrong with prompts, models, folder, memory or disk; training_diverged */
export async function raft(
  runtime: Runtime,
  serve: Serve,
  { options, listener }: { options: RaftOptions; listener: IterationListener<RaftMade> },
): Promise<RaftSummary> {
  const asked = await loadPrompts(options.prompts);
  await openBase(options.policy, method); // what cannot be trained is refused before anything is sampled
  const recipe = {
    "--prompts": basename(options.prompts.source), // what is in it, its hash tells
    "--k": options.k,
    selection: JSON.stringify(options.selection),
  };
  return iterate(
    runtime,
    serve,
    { options, listener },
    {
      mode: "raft",
      asked,
      recipe,
      improve: (parts, stage) => improve({ ...parts, options }, stage),
    },
  );
}

/** Samples, filters, trains. */
async function improve(
  { runtime, options, listener, models, reward, prompts: all }: Parts,
  { iteration, out, current }: Stage,
): Promise<RaftMade> {
  const prompts = sliceOf(all, iteration, options.iterationPrompts);
  const sampled = await samplePrompts(() => models.at(current.folder), {
    ...options,
    prompts,
    path: join(out, SAMPLES_FILE),
    alignment: { ...drawing(options.k), reward },
    choices: 1,
    seed: splitSeed(options.seed, iteration) >>> 0,
    onProgress: (done, total) =>
      listener.onProgress(`iteration ${iteration}, sampling`, done, total),
  });
  const { rows, report } = selectRows(prompts, sampled, options);
  const winners = join(out, WINNERS_FILE);
  if (rows.length === 0) throw withoutWinners(winners, report);
  await writing(winners, () => writeDataset(winners, formatNamed("prompt-completion"), rows));
  await models.letGo();
  const learning = { method, lossOptions: {}, file: winners, format: "prompt-completion" };
  const at = { out, current, listener: listener.training };
  const { steps, trainLoss } = await trainPolicy(runtime, options, learning, at);
  const files = await hashesOf(out, [SAMPLES_FILE, WINNERS_FILE]);
  return { rewards: rewardMeans(sampled), selection: report, steps, trainLoss, files };
}

export function withoutWinners(
  file: string,
  { answers, unfinished }: SelectionReport,
): GatewayError {
  const problem = `of ${answers} answers none can be learnt from, ${unfinished} of them having been cut`;
  const remedy = "Raise --max-tokens, or take cut answers with --unfinished take.";
  return new GatewayError("dataset_unusable", { file, problem, remedy });
}

/** What comes of a training on own answers: a model, its card and report, and a summary. */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import type { LoopEnd } from "../../../train/loop.ts";
import type { Trainer } from "../../../train/trainer.ts";
import { loadState, weightsOf } from "../../../train/training-state.ts";
import type { Base } from "../base.ts";
import type { MetricsLine } from "../report.ts";
import type { TrainingSummary } from "../train.ts";
import type { Manifest, WorkFolder } from "../work-folder.ts";
import { writeTrained } from "../write-trained.ts";
import type { Demands } from "./demands.ts";
import { PROMPTS_HASH } from "./manifest.ts";
import type { OnlineOptions } from "./options.ts";
import type { Prompts } from "./prepare.ts";
import type { PromptRewards } from "./prompts.ts";

export interface OnlineSummary extends TrainingSummary {
  /** Of the held-out prompts before the first step and at the weights that were written; null: none were evaluated. */
  readonly heldOut: Readonly<Record<"before" | "after", Readonly<Record<string, number>>>> | null;
}

interface Parts {
  readonly options: OnlineOptions;
  readonly base: Base;
  readonly prompts: Prompts;
  readonly demands: Demands;
}

interface World {
  readonly trainer: Trainer;
  readonly work: WorkFolder;
  readonly manifest: Manifest;
  readonly rewards: PromptRewards;
}

/** Early stopping keeps the weights with the highest held-out reward, everything else the last ones. */
export async function finish(
  { options, base, prompts, demands }: Parts,
  { trainer, work, manifest, rewards }: World,
  { end, lines: texts }: { end: LoopEnd; lines: readonly string[] },
): Promise<OnlineSummary> {
  const isBest = options.patience > 0 && end.bestStep > 0 && existsSync(work.best);
  const all = isBest ? (await loadState(work.best)).state : weightsOf(trainer.values());
  const isHead = (name: string) => demands.hasValues && name.startsWith("score.");
  const weights = new Map([...all].filter(([name]) => !isHead(name))); // a value head serves no answers
  const lines = texts.map((line) => JSON.parse(line) as MetricsLine); // written here
  const keptStep = isBest ? end.bestStep : trainer.step;
  const heldOutAt = (step: number) => {
    const found = lines.find((line) => line["split"] === "held-out" && line["step"] === step);
    const { step: _, split: __, ...numbers } = found ?? {};
    return found ? (numbers as Record<string, number>) : null;
  };
  const [before, after] = [heldOutAt(0), heldOutAt(keptStep)];
  const summary: OnlineSummary = {
    method: options.name,
    out: options.out,
    steps: trainer.step,
    stoppedEarly: end.stoppedEarly,
    trainLoss: (lines.findLast((line) => line["split"] === "train")?.["loss"] as number) ?? null,
    heldOutLoss: after?.["loss"] ?? null,
    keptStep,
    heldOut: before && after ? { before, after } : null,
  };
  const files = [
    {
      name: options.prompts.source,
      sha256: String(manifest[PROMPTS_HASH]),
      rows: prompts.train.length,
    },
  ];
  const facts = factsOf(summary, { base, prompts, reward: rewards.revision });
  const data = { files, dropped: {} };
  await writeTrained(work.model, { options, base, facts, data, manifest, weights, lines });
  await work.finish(JSON.stringify(summary));
  return summary;
}

function factsOf(
  { method, steps, stoppedEarly, keptStep, heldOut }: OnlineSummary,
  { base, prompts, reward }: { base: Base; prompts: Prompts; reward: string },
): [string, string][] {
  const change = (name: string): [string, string][] => {
    const [before, after] = [heldOut?.before[name], heldOut?.after[name]];
    if (before === undefined || after === undefined) return [];
    return [[`held-out ${name}`, `${before.toPrecision(4)} before, ${after.toPrecision(4)} after`]];
  };
  return [
    ["method", method],
    ["base", `${basename(base.folder)} (SHA-256 ${base.sha256.slice(0, 12)}…)`],
    ["reward", reward],
    ["prompts", `${prompts.train.length}, and ${prompts.heldOut.length} held out`],
    ["steps", `${steps}${stoppedEarly ? ", stopped early" : ""}; weights of step ${keptStep}`],
    ...["reward", "gold", "accuracy", "length"].flatMap(change),
  ];
}

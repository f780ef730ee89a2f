/** What becomes of held-out answers' likelihood while a trial learns: a margin may grow while both of its sides fall. */
import { join } from "node:path";
import { meanOf } from "../../base/statistics.ts";
import type { PairRow } from "../../datasets/types.ts";
import type { MetricsLine } from "../training/report.ts";
import { writeRows } from "./candidates.ts";
import type { HeldOutPrompt, JudgedAnswer } from "./judge.ts";

/** Means of log π over the same pairs, nats an answer. */
export interface LikelihoodPoint {
  readonly step: number;
  readonly chosen: number;
  readonly rejected: number;
}

export interface LikelihoodCurve {
  /** A trial's. */
  readonly name: string;
  readonly points: readonly LikelihoodPoint[];
}

/** Of each domain: they are evaluated ten times a training. */
const PAIRS = 16;

/** Indices of the prompts whose pairs are watched. */
function watched(heldOut: readonly HeldOutPrompt[]): number[] {
  const seen = new Map<string, number>();
  return heldOut.flatMap(({ corpus, pair }, i) => {
    const { domain } = corpus.facts;
    const count = seen.get(domain) ?? 0;
    if (pair === null || count === PAIRS) return [];
    seen.set(domain, count + 1);
    return [i];
  });
}

/** @returns the file; null: no prompt has a pair. */
export async function writeWatchedPairs(
  folder: string,
  heldOut: readonly HeldOutPrompt[],
): Promise<string | null> {
  const rows = watched(heldOut).map((i): PairRow => {
    const { prompt, pair } = heldOut[i]!;
    return { kind: "pair", prompt: prompt.prompt, ...pair!, place: prompt.place };
  });
  if (rows.length === 0) return null;
  return writeRows(join(folder, "data"), "held-out-pairs", { rows, format: "preference" });
}

/**
 * From the base on, which is judged and not trained.
 * @param lines of the training's metrics. @returns no points of a trial that does not watch pairs.
 */
export function likelihoodCurve(
  name: string,
  lines: readonly MetricsLine[],
  base: { readonly heldOut: readonly HeldOutPrompt[]; readonly judged: readonly JudgedAnswer[] },
): LikelihoodCurve {
  const points = lines.flatMap((line): LikelihoodPoint[] => {
    const { step, split, chosen_logp: chosen, rejected_logp: rejected } = line;
    if (split !== "held-out" || chosen === undefined || rejected === undefined) return [];
    return [{ step: Number(step), chosen: Number(chosen), rejected: Number(rejected) }];
  });
  if (points.length === 0) return { name, points };
  const pairs = watched(base.heldOut).map((i) => base.judged[i]!.pair!);
  const start = {
    step: 0,
    chosen: meanOf(pairs.map(({ chosen }) => chosen)),
    rejected: meanOf(pairs.map(({ rejected }) => rejected)),
  };
  return { name, points: [start, ...points] };
}

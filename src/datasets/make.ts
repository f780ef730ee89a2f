/** From rows of one kind to rows of another: demonstrations, preferences, rankings and labels from judged answers. */
import { GatewayError } from "../base/errors.ts";
import {
  bestPerPrompt,
  type LabelRule,
  labelled,
  type PairOptions,
  pairRules,
  pairsOf,
  rankings,
  topShare,
} from "./pairing.ts";
import { type GatheringReport, gatherByPrompt } from "./rewarded.ts";
import type { DatasetRow, ListRow, SupervisedRow } from "./types.ts";

/** Of answers with rewards, by prompt; the last three of any rows that have what they take. */
export const makes = [
  "winners",
  "top",
  "rankings",
  "labels",
  ...pairRules,
  "chosen",
  "unpaired",
  "prompts",
] as const;

export type Make = (typeof makes)[number];

export interface MakeOptions extends Omit<PairOptions, "rule"> {
  readonly make: Make;
  /** For top. Default 0.1. */
  readonly share?: number;
  /** For labels. Default: the better and the worse half of all answers. */
  readonly label?: LabelRule;
}

export interface Made {
  readonly rows: readonly DatasetRow[];
  /** What was left out on the way; null where rows are not gathered by prompt. */
  readonly gathering: GatheringReport | null;
}

/** @throws GatewayError invalid_request when a row has not what is made of it. */
export function makeRows(rows: readonly DatasetRow[], options: MakeOptions): Made {
  const { make } = options;
  switch (make) {
    case "chosen":
      return { rows: rows.map(chosenOf), gathering: null };
    case "unpaired":
      return { rows: rows.flatMap(labelsOf), gathering: null };
    case "prompts":
      return {
        rows: rows.map(({ prompt, place }) => ({ kind: "prompt", prompt, place })),
        gathering: null,
      };
  }
  const { prompts, report } = gatherByPrompt(rows.map((row) => judged(row, make)));
  if (prompts.length === 0) throw unfit(make, "answers with rewards, and there is none");
  return { rows: madeOf(prompts, options, make), gathering: report };
}

function madeOf(
  prompts: Parameters<typeof pairsOf>[0],
  options: MakeOptions,
  make: Exclude<Make, "chosen" | "unpaired" | "prompts">,
): readonly DatasetRow[] {
  const { share = 0.1, label = { desirableShare: 0.5, undesirableShare: 0.5 } } = options;
  switch (make) {
    case "winners":
      return bestPerPrompt(prompts);
    case "top":
      return topShare(prompts, share);
    case "rankings":
      return rankings(prompts);
    case "labels":
      return labelled(prompts, label);
    default:
      return pairsOf(prompts, { ...options, rule: make });
  }
}

function judged(row: DatasetRow, make: Make): ListRow | SupervisedRow {
  if (row.kind === "list") return row;
  if (row.kind === "supervised" && row.reward !== undefined) return row;
  throw unfit(make, `answers with rewards, and ${placed(row)} has none`);
}

function chosenOf(row: DatasetRow): SupervisedRow {
  if (row.kind !== "pair") throw unfit("chosen", `pairs, and ${placed(row)} is none`);
  const { prompt, chosen, place } = row;
  return { kind: "supervised", prompt, completion: chosen, place };
}

function labelsOf(row: DatasetRow): DatasetRow[] {
  if (row.kind !== "pair") throw unfit("unpaired", `pairs, and ${placed(row)} is none`);
  const { prompt, chosen, rejected, place } = row;
  return [
    { kind: "rated", prompt, completion: chosen, desirable: true, place },
    { kind: "rated", prompt, completion: rejected, desirable: false, place },
  ];
}

const placed = ({ place: { file, line } }: DatasetRow) => `line ${line} of ${file}`;

function unfit(make: Make, wants: string): GatewayError {
  return new GatewayError("invalid_request", {
    param: "make",
    problem: `'${make}' needs ${wants}`,
  });
}

/** From rows of one kind to rows of another: demonstrations, preferences, rankings and labels from judged answers. */
import { GatewayError } from "../base/errors.ts";
import {
  bestPerPrompt,
  type LabelRule,
  labelled,
  type PairOptions,
  type PairRule,
  pairsOf,
  rankings,
  topShare,
} from "./pairing.ts";
import { type GatheringReport, gatherByPrompt, type RewardedPrompt } from "./rewarded.ts";
import type { DatasetRow, ListRow, SupervisedRow } from "./types.ts";

const halves: LabelRule = { desirableShare: 0.5, undesirableShare: 0.5 };
const byRule = (rule: PairRule) => (prompts: readonly RewardedPrompt[], options: PairChoices) =>
  pairsOf(prompts, { ...options, rule });

type OfAnswers = (
  prompts: readonly RewardedPrompt[],
  options: MakeOptions,
) => readonly DatasetRow[];
type OfRow = (row: DatasetRow) => readonly DatasetRow[];
type MadeOfAnswers = PairRule | "winners" | "top" | "rankings" | "labels";
type MadeOfRows = "chosen" | "unpaired" | "prompts";

/** Of answers with rewards, gathered by prompt. */
const ofAnswers: Readonly<Record<MadeOfAnswers, OfAnswers>> = {
  winners: bestPerPrompt,
  top: (prompts, { share = 0.1 }) => topShare(prompts, share),
  rankings,
  labels: (prompts, { label = halves }) => labelled(prompts, label),
  max_min: byRule("max_min"),
  random: byRule("random"),
  max_random: byRule("max_random"),
  max_max: byRule("max_max"),
  max_min_p: byRule("max_min_p"),
  all_pairs: byRule("all_pairs"),
};

/** Of rows one by one. */
const ofRows: Readonly<Record<MadeOfRows, OfRow>> = {
  chosen: (row) => [chosenOf(row)],
  unpaired: labelsOf,
  prompts: ({ prompt, place }) => [{ kind: "prompt", prompt, place }],
};

export type Make = MadeOfAnswers | MadeOfRows;

// The keys of two constant objects.
export const makes = [...Object.keys(ofAnswers), ...Object.keys(ofRows)] as readonly Make[];

type PairChoices = Omit<PairOptions, "rule">;

export interface MakeOptions extends PairChoices {
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
  if (isOfRows(make)) return { rows: rows.flatMap((row) => ofRows[make](row)), gathering: null };
  const { prompts, report } = gatherByPrompt(rows.map((row) => judged(row, make)));
  if (prompts.length === 0) throw unfit(make, "answers with rewards, and there is none");
  return { rows: ofAnswers[make](prompts, options), gathering: report };
}

const isOfRows = (make: Make): make is MadeOfRows => make in ofRows;

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

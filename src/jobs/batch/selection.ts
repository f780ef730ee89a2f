/** From sampled answers to rows to train on, by the mode of the batch. */
import { bestPerPrompt, type PairOptions, pairsOf, topShare } from "../../datasets/pairing.ts";
import { gatherByPrompt } from "../../datasets/rewarded.ts";
import type { PairRow, SupervisedRow } from "../../datasets/types.ts";
import type { BatchPrompt } from "./prompts.ts";
import { listRowOf, type SampledAnswer, type SampledPrompt } from "./samples-file.ts";

export type Selection =
  /** The best answer of each prompt. */
  | { readonly kind: "best" }
  /** The best over all prompts. @see topShare */
  | { readonly kind: "top"; readonly share: number }
  /** What the strategy has accepted, where it ended with this word: of a prompt where it accepted nothing, nothing. */
  | { readonly kind: "accepted"; readonly stopped: string }
  | ({ readonly kind: "pairs" } & PairOptions);

export interface SelectionReport {
  readonly answers: number;
  /** Left out: cut before they ended, which nobody should learn to do. */
  readonly unfinished: number;
  readonly unrewarded: number;
  readonly empty: number;
  /** Equal to an earlier answer to the same prompt. */
  readonly repeated: number;
  readonly rows: number;
}

export interface SelectionOptions {
  readonly selection: Selection;
  /** Whether answers are taken that were cut. */
  readonly takesUnfinished: boolean;
}

export function selectRows(
  prompts: readonly BatchPrompt[],
  sampled: readonly SampledPrompt[],
  { selection, takesUnfinished }: SelectionOptions,
): { rows: readonly (SupervisedRow | PairRow)[]; report: SelectionReport } {
  const isFit = ({ isFinished }: SampledAnswer) => isFinished || takesUnfinished;
  const fit = prompts.map((prompt, i) => listRowOf(prompt, sampled[i]!.answers.filter(isFit)));
  const gathered = gatherByPrompt(fit);
  const answers = sampled.reduce((sum, each) => sum + each.answers.length, 0);
  const rows =
    selection.kind === "accepted"
      ? prompts.flatMap((prompt, i) =>
          sampled[i]!.stopped === selection.stopped ? acceptedRows(prompt, sampled[i]!, isFit) : [],
        )
      : rowsOf(gathered.prompts, selection);
  const unfinished = answers - gathered.report.answers;
  return { rows, report: { ...gathered.report, answers, unfinished, rows: rows.length } };
}

function rowsOf(
  prompts: ReturnType<typeof gatherByPrompt>["prompts"],
  selection: Exclude<Selection, { kind: "accepted" }>,
): (SupervisedRow | PairRow)[] {
  if (prompts.length === 0) return [];
  switch (selection.kind) {
    case "best":
      return bestPerPrompt(prompts);
    case "top":
      return topShare(prompts, selection.share);
    case "pairs":
      return pairsOf(prompts, selection);
  }
}

/** Equal texts are answers of their own: how often one is accepted is part of the law that is learnt. */
function acceptedRows(
  { prompt, place }: BatchPrompt,
  { answers, chosen }: SampledPrompt,
  isFit: (answer: SampledAnswer) => boolean,
): SupervisedRow[] {
  return chosen.flatMap((at): SupervisedRow[] => {
    const answer = answers[at]!;
    const { text, reward } = answer;
    if (reward === null || text.trim() === "" || !isFit(answer)) return [];
    return [{ kind: "supervised", prompt, completion: text, reward, place }];
  });
}

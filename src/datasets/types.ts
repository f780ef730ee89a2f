/** Rows of training data, whatever file and format they came from. Knows nothing of tokens. */
import type { TemplateMessage } from "../text/chat-template.ts";

/** One prompt: a conversation, or a bare text to be continued. */
export type DatasetPrompt =
  | { readonly messages: readonly TemplateMessage[] }
  | { readonly text: string };

/** Where a row was read, for messages to people. */
export interface DatasetPlace {
  readonly file: string;
  /** From 1: the line of a text file, the row of a table. */
  readonly line: number;
}

/** An answer to imitate. */
export interface SupervisedRow {
  readonly kind: "supervised";
  readonly prompt: DatasetPrompt;
  readonly completion: string;
  readonly reward?: number;
  /** Indices in `prompt.messages` of earlier answers to imitate as well, ascending. */
  readonly trainedTurns?: readonly number[];
  readonly place: DatasetPlace;
}

/** Two answers, one preferred. */
export interface PairRow {
  readonly kind: "pair";
  readonly prompt: DatasetPrompt;
  readonly chosen: string;
  readonly rejected: string;
  /** By how much, in the unit of whatever scored them. */
  readonly margin?: number;
  /** The chosen one is a demonstration, the rejected one a policy's own answer. */
  readonly demonstrated?: true;
  readonly place: DatasetPlace;
}

/** One answer and whether it is a good one. */
export interface RatedRow {
  readonly kind: "rated";
  readonly prompt: DatasetPrompt;
  readonly completion: string;
  readonly desirable: boolean;
  readonly place: DatasetPlace;
}

/** Several answers with their rewards; NaN: not judged. */
export interface ListRow {
  readonly kind: "list";
  readonly prompt: DatasetPrompt;
  readonly completions: readonly string[];
  /** One for each completion. */
  readonly rewards: readonly number[];
  readonly place: DatasetPlace;
}

/** An answer in steps or segments, each judged in the light of those before it. */
export interface StepsRow {
  readonly kind: "steps";
  readonly prompt: DatasetPrompt;
  readonly steps: readonly string[];
  /** One for each step; NaN: nobody judged it. */
  readonly labels: readonly number[];
  /** Probabilities that a step is right, mostly 0 or 1; or ratings in the scale of whoever gave them. */
  readonly scale: "right" | "rating";
  readonly place: DatasetPlace;
}

/** A prompt to answer, with the right answer where one is known. */
export interface PromptRow {
  readonly kind: "prompt";
  readonly prompt: DatasetPrompt;
  readonly answer?: string;
  readonly place: DatasetPlace;
}

export type DatasetRow = SupervisedRow | PairRow | RatedRow | ListRow | StepsRow | PromptRow;

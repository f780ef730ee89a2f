/**
 * What a loss is. A family is the shape of a batch (what the model is asked for); a loss is a formula
 * over it. Losses build graph nodes and never see the model, the optimiser or the data.
 */
import type { Static, TObject } from "typebox";
import type { Graph, Value } from "../../onnx/graph.ts";

export interface LossTerms {
  /** Scalar. */
  readonly loss: Value;
  /** Scalars to report. */
  readonly metrics: Readonly<Record<string, Value>>;
}

/** Given completions: log π of each of their tokens. */
export interface SupervisedTerms {
  /** [tokens] nats. */
  readonly logps: Value;
  /** [tokens] how much each counts; 0 leaves it out. */
  readonly weights: Value;
}

/** Pairs of answers to one prompt: the reward model's score of each. */
export interface RewardPairTerms {
  /** [pairs] */
  readonly chosen: Value;
  readonly rejected: Value;
}

/** Tokens of answers that are right or wrong: what should stand there, and the reward model's score. */
export interface CorrectionTerms {
  /** [tokens] log of the probability that the model gives the right token, having read the written one. */
  readonly logps: Value;
  /** [tokens] how much each counts; 0 where the right token is not known. */
  readonly weights: Value;
  /** [tokens] the score after the written token. */
  readonly scores: Value;
  /** [tokens] 1 for a right token, −1 for a wrong one. */
  readonly targets: Value;
}

/** What the policy and its reference say of some answers. */
export interface AnswerTerms {
  /** [answers] log π of the whole answer, summed over its tokens; nats. */
  readonly logps: Value;
  /** [answers] the reference's, computed once and fed; whatever is fed where a loss needs no reference. */
  readonly references: Value;
  /** [answers] tokens of each, at least 1. */
  readonly tokens: Value;
}

/** Pairs of answers to one prompt, [pairs] each. */
export interface PairTerms {
  readonly chosen: AnswerTerms;
  readonly rejected: AnswerTerms;
}

/** Answers that are good or bad by themselves. */
export interface UnpairedTerms {
  readonly answers: AnswerTerms;
  /** [answers] 1 for a desirable one, 0 for an undesirable one. */
  readonly desirable: Value;
  /** Answers under prompts of others, [mismatched] each; null for a loss that does not ask for them. */
  readonly mismatched: AnswerTerms | null;
}

/** Lists of answers to one prompt each, one list after the other; [answers] each. */
export interface ListTerms {
  readonly answers: AnswerTerms;
  /** int64: which list it belongs to. */
  readonly lists: Value;
  /** Its place in its list: 0 for the best, each once. */
  readonly ranks: Value;
  /** What it is worth; equal numbers are a tie. */
  readonly rewards: Value;
}

interface Definition<F extends string, T, O extends TObject> {
  readonly name: string;
  readonly options: O;
  readonly family: F;
  build(g: Graph, terms: T, options: Static<O>): LossTerms;
}

export type SupervisedLoss<O extends TObject = TObject> = Definition<
  "supervised",
  SupervisedTerms,
  O
>;
export type RewardLoss<O extends TObject = TObject> = Definition<"reward", RewardPairTerms, O>;
export type CorrectionLoss<O extends TObject = TObject> = Definition<
  "correction",
  CorrectionTerms,
  O
>;
export interface PairLoss<O extends TObject = TObject> extends Definition<"pair", PairTerms, O> {
  /** Whether the reference's log-probabilities have to be computed. */
  readonly needsReference: boolean;
}
export interface UnpairedLoss<O extends TObject = TObject>
  extends Definition<"unpaired", UnpairedTerms, O> {
  readonly needsReference: boolean;
  /** Whether answers have to be scored under prompts of others, too. */
  readonly needsMismatched: boolean;
}
export interface ListLoss<O extends TObject = TObject> extends Definition<"list", ListTerms, O> {
  readonly needsReference: boolean;
}
export type Loss =
  | SupervisedLoss
  | RewardLoss
  | CorrectionLoss
  | PairLoss
  | UnpairedLoss
  | ListLoss;

export function defineSupervisedLoss<O extends TObject>(
  loss: Omit<SupervisedLoss<O>, "family">,
): SupervisedLoss<O> {
  return { ...loss, family: "supervised" };
}

export function defineRewardLoss<O extends TObject>(
  loss: Omit<RewardLoss<O>, "family">,
): RewardLoss<O> {
  return { ...loss, family: "reward" };
}

export function defineCorrectionLoss<O extends TObject>(
  loss: Omit<CorrectionLoss<O>, "family">,
): CorrectionLoss<O> {
  return { ...loss, family: "correction" };
}

export function definePairLoss<O extends TObject>(loss: Omit<PairLoss<O>, "family">): PairLoss<O> {
  return { ...loss, family: "pair" };
}

export function defineUnpairedLoss<O extends TObject>(
  loss: Omit<UnpairedLoss<O>, "family">,
): UnpairedLoss<O> {
  return { ...loss, family: "unpaired" };
}

export function defineListLoss<O extends TObject>(loss: Omit<ListLoss<O>, "family">): ListLoss<O> {
  return { ...loss, family: "list" };
}

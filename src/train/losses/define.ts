/**
 * What a loss is. A family is the shape of a batch (what the model is asked for); a loss is a formula
 * over it. Losses build graph nodes and never see the model, the optimiser or the data.
 */
import type { Static, TObject } from "typebox";
import type { Graph, Value } from "../../onnx/graph.ts";
import type { AdvantageEstimator } from "../advantages.ts";

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

/** Given completions, and what another model thinks of each place in them. */
export interface DistillationTerms extends SupervisedTerms {
  /** [tokens, kept] log π of the tokens that the other model finds likely. */
  readonly student: Value;
  /** [tokens, kept] its own log-probabilities of them; far below 0 where it names fewer. */
  readonly teacher: Value;
}

/** Pairs of answers to one prompt: the reward model's score of each. */
export interface RewardPairTerms {
  /** [pairs] */
  readonly chosen: Value;
  readonly rejected: Value;
  /** [pairs] by how much the chosen one is known to be better, in the score's unit; usually 0. */
  readonly margins: Value;
  /** [pairs] how much each counts; 1, or less where many come from one list. */
  readonly weights: Value;
  /** [pairs] 1 where the chosen answer is a demonstration and the rejected one the policy's own, else 0. */
  readonly demonstrated: Value;
}

/** Lists of answers, each to one prompt: the reward model's scores, the best answer's first. */
export interface RewardListTerms {
  /** [lists, places] */
  readonly scores: Value;
  /** [lists, places] 1, or 0 where a list is shorter. */
  readonly present: Value;
}

/** Places in answers (ends of steps, of segments, or of the answer), each with a label of its own. */
export interface RewardPointTerms {
  /** [points] the reward model's score after the token. */
  readonly scores: Value;
  /** [points] in the unit that the loss says. */
  readonly targets: Value;
  /** [points] how much each counts. */
  readonly weights: Value;
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

/** Answers that a policy drew, with what each token was worth. */
export interface PolicyTerms {
  /** [tokens] log π of each drawn token, nats. */
  readonly logps: Value;
  /** [tokens] how much each counts; 0 leaves it out. */
  readonly weights: Value;
  /** [tokens] log of its probability when it was drawn, and under the reference policy; numbers, not trained. */
  readonly old: Value;
  readonly reference: Value;
  /** [tokens] see `advantages.ts`. */
  readonly advantages: Value;
  /** [tokens] int64: which answer it belongs to. */
  readonly owners: Value;
  /** [answers] tokens of each. */
  readonly lengths: Value;
  /** [tokens] entropy of the law that the token was drawn by, nats; computed only if a loss asks. */
  readonly entropies?: (() => Value) | undefined;
}

/** A policy's drawn tokens, with what its value head expects before each. */
export interface ActorCriticTerms extends PolicyTerms {
  /** [tokens] the value head's, in the reward's unit. */
  readonly values: Value;
  /** [tokens] the same when the token was drawn; a number, not trained. */
  readonly oldValues: Value;
  /** [tokens] what the value should have been. */
  readonly returns: Value;
}

/** What the policy and its reference say of some answers. */
export interface AnswerTerms {
  /** [answers] log π of the whole answer, summed over its tokens; nats. */
  readonly logps: Value;
  /** [answers] the reference's, computed once and fed; whatever is fed where a loss needs no reference. */
  readonly references: Value;
  /** [answers] tokens of each, at least 1. */
  readonly tokens: Value;
  /** [answers] log Σ_v π(v)² summed over its places; only for a loss that needs them. */
  readonly collisions?: Value | undefined;
}

/** Of a number that a loss reports: its mean over the steps before this one, and how many they are; scalars. */
export interface RunningMean {
  readonly mean: Value;
  readonly steps: Value;
}

/** Pairs of answers to one prompt, [pairs] each. */
export interface PairTerms {
  readonly chosen: AnswerTerms;
  readonly rejected: AnswerTerms;
  /** [pairs] by how much the chosen one is known to be better; only for a loss that needs them. */
  readonly margins?: Value | undefined;
  /** [pairs, pairs] how like their prompts are, at most 1; only for a loss that needs them. */
  readonly similarities?: Value | undefined;
  /** Of the loss's `runningMean`; asked for only where an option wants it. */
  readonly running?: (() => RunningMean) | undefined;
}

/** Answers that are good or bad by themselves. */
export interface UnpairedTerms {
  readonly answers: AnswerTerms;
  /** [answers] 1 for a desirable one, 0 for an undesirable one. */
  readonly desirable: Value;
  /** Answers under prompts of others, [mismatched] each; null for a loss that does not ask for them. */
  readonly mismatched: AnswerTerms | null;
  /** Of the loss's `runningMean`; asked for only where an option wants it. */
  readonly running?: (() => RunningMean) | undefined;
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
  /** The metric whose mean over earlier steps it may ask for. */
  readonly runningMean?: string;
  build(g: Graph, terms: T, options: Static<O>): LossTerms;
}

export type SupervisedLoss<O extends TObject = TObject> = Definition<
  "supervised",
  SupervisedTerms,
  O
>;
export type DistillationLoss<O extends TObject = TObject> = Definition<
  "distillation",
  DistillationTerms,
  O
>;
export type RewardLoss<O extends TObject = TObject> = Definition<"reward", RewardPairTerms, O>;
export type RewardListLoss<O extends TObject = TObject> = Definition<
  "reward-list",
  RewardListTerms,
  O
>;
export type RewardPointLoss<O extends TObject = TObject> = Definition<
  "reward-point",
  RewardPointTerms,
  O
>;
export type CorrectionLoss<O extends TObject = TObject> = Definition<
  "correction",
  CorrectionTerms,
  O
>;
export interface PolicyLoss<O extends TObject = TObject>
  extends Definition<"policy", PolicyTerms, O> {
  /** How its advantages are meant to come from rewards. */
  readonly estimator: AdvantageEstimator;
}
export interface ActorCriticLoss<O extends TObject = TObject>
  extends Definition<"actor-critic", ActorCriticTerms, O> {
  readonly estimator: AdvantageEstimator;
}
export interface PairLoss<O extends TObject = TObject> extends Definition<"pair", PairTerms, O> {
  /** Whether the reference's log-probabilities have to be computed. */
  readonly needsReference: boolean;
  /** What else of the rows, or of the laws, it is given. */
  readonly needs?: readonly PairNeed[];
}
export type PairNeed = "margins" | "similarities" | "collisions";
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
  | DistillationLoss
  | RewardLoss
  | RewardListLoss
  | RewardPointLoss
  | CorrectionLoss
  | PairLoss
  | UnpairedLoss
  | ListLoss
  | PolicyLoss
  | ActorCriticLoss;

export function defineSupervisedLoss<O extends TObject>(
  loss: Omit<SupervisedLoss<O>, "family">,
): SupervisedLoss<O> {
  return { ...loss, family: "supervised" };
}

export function defineDistillationLoss<O extends TObject>(
  loss: Omit<DistillationLoss<O>, "family">,
): DistillationLoss<O> {
  return { ...loss, family: "distillation" };
}

export function defineRewardLoss<O extends TObject>(
  loss: Omit<RewardLoss<O>, "family">,
): RewardLoss<O> {
  return { ...loss, family: "reward" };
}

export function defineRewardListLoss<O extends TObject>(
  loss: Omit<RewardListLoss<O>, "family">,
): RewardListLoss<O> {
  return { ...loss, family: "reward-list" };
}

export function defineRewardPointLoss<O extends TObject>(
  loss: Omit<RewardPointLoss<O>, "family">,
): RewardPointLoss<O> {
  return { ...loss, family: "reward-point" };
}

export function defineCorrectionLoss<O extends TObject>(
  loss: Omit<CorrectionLoss<O>, "family">,
): CorrectionLoss<O> {
  return { ...loss, family: "correction" };
}

export function definePolicyLoss<O extends TObject>(
  loss: Omit<PolicyLoss<O>, "family">,
): PolicyLoss<O> {
  return { ...loss, family: "policy" };
}

export function defineActorCriticLoss<O extends TObject>(
  loss: Omit<ActorCriticLoss<O>, "family">,
): ActorCriticLoss<O> {
  return { ...loss, family: "actor-critic" };
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

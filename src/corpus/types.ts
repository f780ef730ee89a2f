/** The corpus' data: a prompt with the facts that decide what a right reply is, and mixtures of flaws. */

export const domains = ["support", "arithmetic"] as const;
export type Domain = (typeof domains)[number];

/** Train and held-out never share a prompt: the side follows from the content alone (`split.ts`). */
export type Split = "train" | "heldout";

export interface CorpusPrompt {
  /** Domain and the start of the content's SHA-256. */
  readonly id: string;
  readonly domain: Domain;
  readonly messages: readonly { readonly role: "user"; readonly content: string }[];
  readonly facts: SupportFacts | ArithmeticFacts;
}

/** A stretch of a reply. */
export interface ReplyPiece {
  readonly text: string;
  /** What should stand there; null where nothing is right or wrong by itself. */
  readonly truth: string | null;
}

export interface CorpusReply {
  readonly text: string;
  /** The text, cut where something begins or ends that can be checked. */
  readonly pieces: readonly ReplyPiece[];
  /** What is wrong with it, as made; the gold reward never looks here. */
  readonly flaws: readonly Flaw[];
}

export const remedies = [
  "replacement",
  "reship",
  "tracking",
  "exchange",
  "refund",
  "label",
  "decline",
  "part",
  "cancel",
] as const;
export type Remedy = (typeof remedies)[number];

export interface SupportFacts {
  readonly domain: "support";
  readonly name: string;
  /** Four digits. */
  readonly order: string;
  readonly product: string;
  readonly problem: Problem;
  /** The one remedy that the policy allows. */
  readonly remedy: Remedy;
}

export type Problem =
  | "damaged"
  | "not-arrived"
  | "wrong-colour"
  | "charged-twice"
  | "return"
  | "missing-part"
  | "cancel";

export type Operation = "+" | "-" | "*";

export interface Operand {
  readonly value: number;
  /** The earlier step (from 0) whose result this is; null for a number of the problem. */
  readonly step: number | null;
}

/** One written step, `label: left operation right = result.` */
export interface Step {
  readonly label: string;
  readonly left: Operand;
  readonly operation: Operation;
  readonly right: Operand;
  readonly result: number;
}

export interface ArithmeticFacts {
  readonly domain: "arithmetic";
  /** The right solution; the last result is the answer. */
  readonly steps: readonly Step[];
  readonly answer: number;
}

export const supportFlaws = [
  "wrong-name",
  "wrong-order",
  "wrong-product",
  "wrong-remedy",
  "curt",
  "rude",
  "rambling",
] as const;
export type SupportFlaw = (typeof supportFlaws)[number];

export const arithmeticFlaws = [
  "off-by-one",
  "off-by-ten",
  "wild-result",
  "wrong-operation",
  "miscopied-number",
  "no-answer",
] as const;
export type ArithmeticFlaw = (typeof arithmeticFlaws)[number];

export type Flaw = SupportFlaw | ArithmeticFlaw;

/**
 * Probability of each flaw. Support flaws are drawn independently, but that a reply is at most one of
 * curt and rude. Arithmetic flaws exclude each other: their probabilities add up to at most 1.
 */
export interface Mixture {
  readonly support: Readonly<Record<SupportFlaw, number>>;
  readonly arithmetic: Readonly<Record<ArithmeticFlaw, number>>;
  /** An arithmetic flaw is drawn once for a solution, or anew for each of its steps. */
  readonly slips: "one" | "every-step";
}

/** Total, its parts, and whether the reply is right in the sense of accuracy figures. */
export interface GoldReward {
  readonly total: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly correct: boolean;
}

/** What is wrong with one row of training data. The reader decides whether that ends the reading or the row. */

/** Why a row cannot be used; rows left out are counted by it. */
export type FaultReason =
  | "not_json"
  | "unknown_field"
  | "missing_field"
  | "wrong_field"
  | "empty_answer"
  | "equal_answers"
  | "no_reward";

export class RowFault extends Error {
  override readonly name = "RowFault";
  readonly reason: FaultReason;
  /** Path of the field at fault, "messages.0.role"; null for the whole row. */
  readonly field: string | null;

  /** @param problem completes a sentence about the field: "must be a text". */
  constructor(reason: FaultReason, field: string | null, problem: string) {
    super(problem);
    this.reason = reason;
    this.field = field;
  }
}

/** What scheduler and batches see of requests and their sequences, whoever chooses the tokens: `sequence.ts`, `guided-sequence.ts`. */
import type { BatchRow } from "./decode-batch.ts";
import type { ReadPrompt } from "./prompt-reader.ts";
import type { StepRow } from "./sampler.ts";

export interface Request {
  readonly prompt: ReadPrompt;
  readonly signal: AbortSignal;
  /** Its sequences, in all. */
  readonly n: number;
  /** Higher goes first. */
  readonly priority: number;
  /** Of one priority the earlier goes first; null: the last. */
  readonly deadline: number | null;
  /** Whether its sequences keep the prompt once for all of them. */
  readonly sharesPrompt: boolean;
  /** Sequences that have no slot yet, or not now. */
  readonly waiting: Running[];
  /** Why its sequences must leave; null while it goes on. */
  readonly ended: { readonly reason: unknown } | null;
  fail(reason: unknown): void;
}

export interface Running extends BatchRow {
  readonly request: Request;
  readonly finished: boolean;
  /** Starts, or goes on, from the prompt, which now lies in its slot. */
  begin(promptRow: StepRow): void;
  /** Loses its slot. Its tokens are run again, one a step, so that not a bit comes out otherwise. */
  giveWay(): void;
}

/** A sequence that has a slot, or is to get one, and the tokens it will have there, its prompt's among them. */
export interface Occupant {
  readonly request: Request;
  readonly tokens: number;
}

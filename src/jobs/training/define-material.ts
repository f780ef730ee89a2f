/** How the rows of a method become examples and examples become passes: what all methods agree on. */
import type { DatasetPlace, DatasetRow } from "../../datasets/types.ts";
import type { StepData } from "../../train/batches.ts";
import type { Likely } from "../../train/families/supervised.ts";
import type { RowFormat } from "./encode-rows.ts";

export interface PromptedAnswer {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
}

/** What a row became: the smallest part of a batch. */
export interface Example {
  readonly place: DatasetPlace;
  /** Tokens of each of its sequences. */
  readonly lengths: readonly number[];
  /** Rows of logits that it asks for. */
  readonly scoredTokens: number;
  /** What it counts in the loss, which is a mean: learned tokens, pairs, answers or lists. */
  readonly share: number;
  /** Those whose log-probability under the reference the loss is given. */
  readonly answers: readonly PromptedAnswer[];
}

/** Of an example: log π_ref of each of its `answers`, summed over tokens. */
export type References<E extends Example = Example> = (example: E) => readonly number[];

/** Of an example: for each of its learned tokens, what a teacher finds likely there. */
export type Teacher<E extends Example = Example> = (example: E) => readonly (readonly Likely[])[];

/** How the rows of one method are read. */
export interface Material<E extends Example = Example> {
  /**
   * The same, knowing all rows to train on; absent where each row stands for itself.
   * @throws GatewayError invalid_request for rows that leave open what the method has to know
   */
  readonly informed?: (rows: readonly DatasetRow[]) => InformedMaterial;
  /** @throws UnusableRow */
  readonly read: (row: DatasetRow, format: RowFormat) => readonly E[];
  /** After all were read. */
  readonly complete: (examples: readonly E[], contextTokens: number) => readonly E[];
  readonly step: (
    examples: readonly E[],
    tokensPerRow: number,
    references: References<E>,
    teacher: Teacher<E>,
  ) => StepData;
}

export interface InformedMaterial extends Material {
  /** What of the rows the model's card should tell. */
  readonly facts: readonly (readonly [name: string, value: string])[];
}

/** What a method's rows become is known only inside: outside it is an `Example`. */
export function material<E extends Example>(
  of: Pick<Material<E>, "read" | "step"> & Partial<Material<E>>,
): Material {
  const whole: Material<E> = { complete: (examples) => examples, ...of };
  return whole as unknown as Material; // examples come back only to the material that made them
}

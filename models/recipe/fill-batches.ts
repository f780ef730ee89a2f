/** An endless source of examples → an endless sequence of steps of about the same number of tokens. */
import type { StepData } from "../../src/train/batches.ts";
import type { StageSettings } from "./settings.ts";

/** Packing is not perfect: a step filled to this share of its rows rarely needs one more row. */
const FILL = 0.96;

export interface Filling<S, E> {
  readonly source: Iterator<S>;
  readonly encode: (raw: S) => E;
  readonly tokensOf: (example: E) => number;
  readonly step: (examples: readonly E[], tokensPerRow: number) => StepData;
  readonly settings: StageSettings;
}

export function* fillBatches<S, E>(filling: Filling<S, E>): Generator<StepData, never> {
  const { source, encode, tokensOf, step, settings } = filling;
  const budget = settings.rows * settings.tokensPerRow * FILL;
  let batch: E[] = [];
  let tokens = 0;
  for (;;) {
    const example = encode(source.next().value);
    if (tokens + tokensOf(example) > budget) {
      yield step(batch, settings.tokensPerRow);
      batch = [];
      tokens = 0;
    }
    batch.push(example);
    tokens += tokensOf(example);
  }
}

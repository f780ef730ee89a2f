/**
 * Examples → arrays. Sequences of different lengths are packed into rows of one length, each with a
 * segment number of its own, so that hardly a token is padding.
 */
import { assert } from "../base/assert.ts";

export interface PackedBatch {
  readonly rows: number;
  readonly tokensPerRow: number;
  /** [rows · tokensPerRow] each. */
  readonly ids: BigInt64Array<ArrayBuffer>;
  readonly positions: BigInt64Array<ArrayBuffer>;
  readonly segments: BigInt64Array<ArrayBuffer>;
  /** Where each sequence starts in the flat arrays, in the order given. */
  readonly starts: readonly number[];
}

/** A prompt and what the model should have said. */
export interface SupervisedExample {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
}

export interface RewardPairExample {
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
}

/** Named feeds of one training step, apart from the packed tokens. */
export interface StepData {
  readonly packed: PackedBatch;
  readonly int64: Readonly<Record<string, BigInt64Array<ArrayBuffer>>>;
  readonly float32: Readonly<Record<string, Float32Array<ArrayBuffer>>>;
}

/**
 * First-fit packing, longest first. Padding gets segment −1.
 * @throws InvariantError when a sequence is longer than a row.
 */
export function pack(sequences: readonly (readonly number[])[], tokensPerRow: number): PackedBatch {
  const free: number[] = [];
  const place = new Map<number, number>();
  const order = sequences
    .map((_, i) => i)
    .sort((a, b) => sequences[b]!.length - sequences[a]!.length || a - b);
  for (const i of order) {
    const { length } = sequences[i]!;
    assert(
      length > 0 && length <= tokensPerRow,
      `a sequence of ${length} tokens does not fit a row of ${tokensPerRow}`,
    );
    let row = free.findIndex((left) => left >= length);
    if (row < 0) row = free.push(tokensPerRow) - 1;
    place.set(i, row * tokensPerRow + tokensPerRow - free[row]!);
    free[row]! -= length;
  }
  const size = free.length * tokensPerRow;
  const ids = new BigInt64Array(size);
  const positions = new BigInt64Array(size);
  const segments = new BigInt64Array(size).fill(-1n);
  const starts = sequences.map((_, i) => place.get(i)!);
  sequences.forEach((sequence, segment) => {
    sequence.forEach((id, t) => {
      const at = starts[segment]! + t;
      ids[at] = BigInt(id);
      positions[at] = BigInt(t);
      segments[at] = BigInt(segment);
    });
  });
  return { rows: free.length, tokensPerRow, ids, positions, segments, starts };
}

/** The row before each completion token predicts it. */
export function supervisedStep(
  examples: readonly SupervisedExample[],
  tokensPerRow: number,
): StepData {
  // The last token of a sequence predicts nothing and is left out.
  const packed = pack(
    examples.map((e) => [...e.prompt, ...e.completion].slice(0, -1)),
    tokensPerRow,
  );
  const scored = examples.flatMap((e, i) =>
    e.completion.map((_, t) => packed.starts[i]! + e.prompt.length + t - 1),
  );
  const labels = examples.flatMap((e) => [...e.completion]);
  return {
    packed,
    int64: { rows: BigInt64Array.from(scored, BigInt), labels: BigInt64Array.from(labels, BigInt) },
    float32: { weights: new Float32Array(labels.length).fill(1) },
  };
}

/** The reward of a sequence is read at its last token. */
export function rewardPairStep(
  pairs: readonly RewardPairExample[],
  tokensPerRow: number,
): StepData {
  const packed = pack(
    pairs.flatMap((pair) => [pair.chosen, pair.rejected]),
    tokensPerRow,
  );
  const lastRow = (sequence: readonly number[], index: number) =>
    BigInt(packed.starts[index]! + sequence.length - 1);
  return {
    packed,
    int64: {
      chosen_rows: BigInt64Array.from(pairs.map((pair, i) => lastRow(pair.chosen, 2 * i))),
      rejected_rows: BigInt64Array.from(pairs.map((pair, i) => lastRow(pair.rejected, 2 * i + 1))),
    },
    float32: {},
  };
}

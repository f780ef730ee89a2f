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

/** Answers to one prompt, and which of two of them was preferred. */
export interface RewardGroup {
  readonly prompt: readonly number[];
  readonly completions: readonly (readonly number[])[];
  readonly pairs: readonly RewardPair[];
}

export interface RewardPair {
  /** Indices into the group's completions. */
  readonly chosen: number;
  readonly rejected: number;
  /** By how much the chosen one is better, in the score's unit; 0 where nothing is said. */
  readonly margin?: number;
  /** 1 where nothing is said. */
  readonly weight?: number;
  /** The chosen one is a demonstration, the rejected one the policy's own answer. */
  readonly demonstrated?: boolean;
}

/** An answer with what is right and wrong in it. */
export interface CorrectionExample {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
  readonly marks: readonly {
    /** Which token of the completion, from 0. */
    readonly at: number;
    /** What the score should be after it. */
    readonly target: number;
    /** The token that should stand there; null when unknown, or when nothing is right or wrong there. */
    readonly truth: number | null;
  }[];
}

/** Named feeds of one training step, apart from the packed tokens. */
export interface StepData {
  readonly packed: PackedBatch;
  readonly int64: Readonly<Record<string, BigInt64Array<ArrayBuffer>>>;
  readonly float32: Readonly<Record<string, Float32Array<ArrayBuffer>>>;
}

/**
 * First-fit packing, longest first. Padding gets segment −1.
 * @throws InvariantError when a sequence is empty or longer than a row.
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

/**
 * The row before each completion token predicts it.
 * @throws InvariantError for an empty prompt: no row predicts the first token.
 */
export function supervisedStep(
  examples: readonly SupervisedExample[],
  tokensPerRow: number,
): StepData {
  for (const { prompt } of examples) assert(prompt.length > 0, "a prompt is empty");
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

/** Rewards are compared at the last tokens of both answers. */
export function rewardStep(groups: readonly RewardGroup[], tokensPerRow: number): StepData {
  const sequences = groups.flatMap(({ prompt, completions }) =>
    completions.map((completion) => [...prompt, ...completion]),
  );
  const packed = pack(sequences, tokensPerRow);
  const ends = sequences.map(({ length }, i) => packed.starts[i]! + length - 1);
  const pairs: (RewardPair & { readonly first: number })[] = [];
  let first = 0;
  for (const group of groups) {
    for (const pair of group.pairs) pairs.push({ ...pair, first });
    first += group.completions.length;
  }
  return {
    packed,
    int64: {
      chosen_rows: BigInt64Array.from(pairs, ({ first, chosen }) => BigInt(ends[first + chosen]!)),
      rejected_rows: BigInt64Array.from(pairs, ({ first, rejected }) =>
        BigInt(ends[first + rejected]!),
      ),
    },
    float32: {
      margins: Float32Array.from(pairs, ({ margin }) => margin ?? 0),
      pair_weights: Float32Array.from(pairs, ({ weight }) => weight ?? 1),
      demonstrated: Float32Array.from(pairs, ({ demonstrated }) => (demonstrated ? 1 : 0)),
    },
  };
}

/** Each marked token is scored, and corrected, where the model has just read it. */
export function correctionStep(
  examples: readonly CorrectionExample[],
  tokensPerRow: number,
): StepData {
  const packed = pack(
    examples.map(({ prompt, completion }) => [...prompt, ...completion]),
    tokensPerRow,
  );
  const marks = examples.flatMap(({ prompt, marks }, i) =>
    marks.map((mark) => ({ ...mark, row: packed.starts[i]! + prompt.length + mark.at })),
  );
  return {
    packed,
    int64: {
      rows: BigInt64Array.from(marks, ({ row }) => BigInt(row)),
      labels: BigInt64Array.from(marks, ({ truth }) => BigInt(truth ?? 0)),
    },
    float32: {
      weights: Float32Array.from(marks, ({ truth }) => (truth === null ? 0 : 1)),
      targets: Float32Array.from(marks, ({ target }) => target),
    },
  };
}

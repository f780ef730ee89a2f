/** Answers to be scored: examples → arrays → what a reward loss is given. */
import { assert } from "../../base/assert.ts";
import type { Graph, Value } from "../../onnx/graph.ts";
import { pack, type RewardGroup, rewardStep, type StepData } from "../batches.ts";
import type { RewardListTerms, RewardPairTerms, RewardPointTerms } from "../losses/define.ts";

/** Scores of hidden rows, one a row. */
type Score = (rows: Value) => Value;

export function rewardPairTerms(g: Graph, score: Score): RewardPairTerms {
  const column = (name: string) => g.input(name, "float32", ["pairs"]);
  return {
    chosen: score(g.input("chosen_rows", "int64", ["pairs"])),
    rejected: score(g.input("rejected_rows", "int64", ["pairs"])),
    margins: column("margins"),
    weights: column("pair_weights"),
    demonstrated: column("demonstrated"),
  };
}

/** Feeds are flat: `sizes` says nothing but how many lists there are. */
export function rewardListTerms(g: Graph, score: Score): RewardListTerms {
  const rows = g.input("rows", "int64", ["scored"]);
  const present = g.input("present", "float32", ["scored"]);
  g.input("list_sizes", "float32", ["lists"]);
  const table = (x: Value) => g.reshape(x, ["lists", "places"]);
  return { scores: table(score(rows)), present: table(present) };
}

export function rewardPointTerms(g: Graph, score: Score): RewardPointTerms {
  return {
    scores: score(g.input("rows", "int64", ["scored"])),
    targets: g.input("targets", "float32", ["scored"]),
    weights: g.input("weights", "float32", ["scored"]),
  };
}

/** Answers to one prompt, the best first. */
export interface RankedAnswers {
  readonly prompt: readonly number[];
  readonly completions: readonly (readonly number[])[];
}

/**
 * Each answer is scored at its last token; lists shorter than the longest are filled up with places that count nothing.
 * @throws InvariantError for a list of fewer than two answers, which orders nothing.
 */
export function rankedStep(lists: readonly RankedAnswers[], tokensPerRow: number): StepData {
  for (const { completions } of lists)
    assert(completions.length > 1, `a list of ${completions.length} answers orders nothing`);
  const sequences = lists.flatMap(({ prompt, completions }) =>
    completions.map((completion) => [...prompt, ...completion]),
  );
  const packed = pack(sequences, tokensPerRow);
  const ends = sequences.map(({ length }, i) => packed.starts[i]! + length - 1);
  const places = Math.max(...lists.map(({ completions }) => completions.length));
  const rows: number[] = [];
  const present: number[] = [];
  let first = 0;
  for (const { completions } of lists) {
    for (let place = 0; place < places; place++) {
      const isThere = place < completions.length;
      rows.push(isThere ? ends[first + place]! : 0);
      present.push(isThere ? 1 : 0);
    }
    first += completions.length;
  }
  return {
    packed,
    int64: { rows: BigInt64Array.from(rows, BigInt) },
    float32: {
      present: Float32Array.from(present),
      list_sizes: Float32Array.from(lists, ({ completions }) => completions.length),
    },
  };
}

/** A place in an answer: the score after its token `at` (from 0) is to be compared with the target. */
export interface RewardMark {
  readonly at: number;
  readonly target: number;
  /** 1 where nothing is said. */
  readonly weight?: number;
}

export interface MarkedAnswer {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
  readonly marks: readonly RewardMark[];
}

/** @throws InvariantError for a mark outside of its answer. */
export function pointStep(answers: readonly MarkedAnswer[], tokensPerRow: number): StepData {
  const packed = pack(
    answers.map(({ prompt, completion }) => [...prompt, ...completion]),
    tokensPerRow,
  );
  const points = answers.flatMap(({ prompt, completion, marks }, i) =>
    marks.map((mark) => {
      assert(
        mark.at >= 0 && mark.at < completion.length,
        `token ${mark.at} of ${completion.length} is marked`,
      );
      return { ...mark, row: packed.starts[i]! + prompt.length + mark.at };
    }),
  );
  return {
    packed,
    int64: { rows: BigInt64Array.from(points, ({ row }) => BigInt(row)) },
    float32: {
      targets: Float32Array.from(points, ({ target }) => target),
      weights: Float32Array.from(points, ({ weight }) => weight ?? 1),
    },
  };
}

/**
 * Every prefix is to foretell the rating of the whole, later ones more: weights t / Σt.
 * Source: Deng & Raffel, arXiv:2310.09520, eq. 2.
 */
export function prefixMarks(tokens: number, rating: number): RewardMark[] {
  const total = (tokens * (tokens + 1)) / 2;
  return Array.from({ length: tokens }, (_, at) => ({
    at,
    target: rating,
    weight: (at + 1) / total,
  }));
}

/**
 * Ratings of growing prefixes → each segment's share: s(ȳ₁…ȳₖ) − s(ȳ₁…ȳₖ₋₁), which sum to the rating of the whole.
 * @param ratings of the prefixes that end with each segment; before the first one it is `empty`.
 * Source: Xiao & Zhu, 10.69, where the rating of nothing is left open.
 */
export function segmentShares(ratings: readonly number[], empty = 0): number[] {
  return ratings.map((rating, k) => rating - (ratings[k - 1] ?? empty));
}

/**
 * All pairs of a ranked list, the better one as chosen; a tie makes no pair. Together they weigh 1.
 * @param ranks of the answers, lower is better.
 */
export function rankedPairs(ranks: readonly number[]): RewardGroup["pairs"] {
  const pairs = ranks.flatMap((rank, chosen) =>
    ranks.flatMap((other, rejected) => (rank < other ? [{ chosen, rejected }] : [])),
  );
  return pairs.map((pair) => ({ ...pair, weight: 1 / pairs.length }));
}

export interface ComparedAnswers {
  readonly prompt: readonly number[];
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
  /** Of the pair, among all; 1 where nothing is said. */
  readonly weight?: number;
}

/**
 * Both answers are compared at every prefix of equal length; together the prefixes weigh what the pair does. Where both
 * prefixes are the same tokens there is nothing to tell apart, and no pair.
 * Source: Rashid et al., arXiv:2406.07780, section 4.
 * @throws InvariantError when two answers never differ within the shorter one's length.
 */
export function prefixStep(pairs: readonly ComparedAnswers[], tokensPerRow: number): StepData {
  const sequences = pairs.flatMap(({ prompt, chosen, rejected }) => [
    [...prompt, ...chosen],
    [...prompt, ...rejected],
  ]);
  const packed = pack(sequences, tokensPerRow);
  const compared = pairs.flatMap(({ prompt, chosen, rejected, weight = 1 }, i) => {
    const shorter = Math.min(chosen.length, rejected.length);
    const from = chosen.findIndex((token, t) => token !== rejected[t]);
    assert(from >= 0 && from < shorter, "two answers do not differ where both have tokens");
    return Array.from({ length: shorter - from }, (_, t) => ({
      chosen: packed.starts[2 * i]! + prompt.length + from + t,
      rejected: packed.starts[2 * i + 1]! + prompt.length + from + t,
      weight: weight / (shorter - from),
    }));
  });
  return {
    packed,
    int64: {
      chosen_rows: BigInt64Array.from(compared, ({ chosen }) => BigInt(chosen)),
      rejected_rows: BigInt64Array.from(compared, ({ rejected }) => BigInt(rejected)),
    },
    float32: {
      margins: new Float32Array(compared.length),
      pair_weights: Float32Array.from(compared, ({ weight }) => weight),
      demonstrated: new Float32Array(compared.length),
    },
  };
}

export interface ComparedInOne extends ComparedAnswers {
  /** What stands between the two. */
  readonly separator: readonly number[];
  readonly weight: number;
}

/** For a preference model, which reads both answers at once: each pair in both orders. */
export function preferenceStep(pairs: readonly ComparedInOne[], tokensPerRow: number): StepData {
  const groups = pairs.map(({ prompt, chosen, rejected, separator, weight }) => ({
    prompt,
    completions: [
      [...chosen, ...separator, ...rejected],
      [...rejected, ...separator, ...chosen],
    ],
    pairs: [{ chosen: 0, rejected: 1, weight }],
  }));
  return rewardStep(groups, tokensPerRow);
}

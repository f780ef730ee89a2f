/** Packing and its consequences, for any lengths: nothing lost, nothing shared, and rows that point right. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import {
  correctionStep,
  type PackedBatch,
  pack,
  type RewardGroup,
  rewardStep,
  supervisedStep,
} from "../../src/train/batches.ts";

const ROW = 12;
const token = fc.integer({ min: 0, max: 99 });
const sequence = fc.array(token, { minLength: 1, maxLength: ROW });
const sequences = fc.array(sequence, { minLength: 1, maxLength: 20 });

/** The sequences as segments, positions and ids tell them, in order of their segment. */
function unpacked({ ids, positions, segments }: PackedBatch): number[][] {
  const found: number[][] = [];
  segments.forEach((segment, at) => {
    if (segment < 0n) return;
    const t = Number(positions[at]);
    found[Number(segment)] ??= [];
    const tokens = found[Number(segment)]!;
    expect(tokens[t], "two tokens at one position").toBeUndefined();
    tokens[t] = Number(ids[at]);
  });
  return found;
}

describe("pack", () => {
  test("holds every token once, in its order, and nothing else but padding", () => {
    fc.assert(
      fc.property(sequences, (given) => {
        const packed = pack(given, ROW);
        expect(unpacked(packed)).toEqual(given);
        const padding = packed.segments.filter((segment) => segment === -1n).length;
        expect(padding).toBe(packed.rows * ROW - given.flat().length);
        expect(packed.ids).toHaveLength(packed.rows * ROW);
      }),
    );
  });

  test("keeps a sequence together, within one row, from where `starts` says", () => {
    fc.assert(
      fc.property(sequences, (given) => {
        const { starts, segments, ids } = pack(given, ROW);
        given.forEach((each, i) => {
          const [from, to] = [starts[i]!, starts[i]! + each.length];
          expect(Math.floor(from / ROW)).toBe(Math.floor((to - 1) / ROW));
          expect(Array.from(ids.slice(from, to), Number)).toEqual(each);
          expect(new Set(segments.slice(from, to))).toEqual(new Set([BigInt(i)]));
        });
      }),
    );
  });

  test("leaves no two rows that would fit in one", () => {
    fc.assert(
      fc.property(sequences, (given) => {
        const { rows, segments } = pack(given, ROW);
        const used = Array.from(
          { length: rows },
          (_, row) =>
            segments.slice(row * ROW, (row + 1) * ROW).filter((segment) => segment >= 0n).length,
        );
        const [emptiest = ROW, second = ROW] = used.sort((a, b) => a - b);
        expect(emptiest + second).toBeGreaterThan(ROW);
      }),
    );
  });

  test("refuses a sequence that is empty or longer than a row", () => {
    expect(() => pack([[1], []], ROW)).toThrow(InvariantError);
    expect(() => pack([Array(ROW + 1).fill(7)], ROW)).toThrow(/13 tokens does not fit a row of 12/);
  });
});

describe("supervisedStep", () => {
  const part = fc.array(token, { minLength: 1, maxLength: ROW / 2 });
  const examples = fc.array(fc.record({ prompt: part, completion: part }), {
    minLength: 1,
    maxLength: 10,
  });

  test("predicts every token of every completion from all before it, and nothing else", () => {
    fc.assert(
      fc.property(examples, (given) => {
        const { packed, int64, float32 } = supervisedStep(given, ROW);
        const { rows, labels } = int64 as Record<"rows" | "labels", BigInt64Array>; // its feeds
        const predicted = [...rows].map((row, i) => {
          const [at, t] = [Number(row), Number(packed.positions[Number(row)])];
          const before = Array.from(packed.ids.slice(at - t, at + 1), Number);
          expect(new Set(packed.segments.slice(at - t, at + 1)).size).toBe(1);
          return [...before, Number(labels[i])];
        });
        const expected = given.flatMap(({ prompt, completion }) =>
          completion.map((_, t) => [...prompt, ...completion.slice(0, t + 1)]),
        );
        expect(predicted).toEqual(expected);
        expect([...float32["weights"]!]).toEqual(expected.map(() => 1));
      }),
    );
  });

  test("refuses an empty prompt, whose first answer token nothing predicts", () => {
    const examples = [
      { prompt: [1], completion: [2] },
      { prompt: [], completion: [3, 4] },
    ];
    expect(() => supervisedStep(examples, ROW)).toThrow(InvariantError);
  });
});

describe("rewardStep", () => {
  const group: RewardGroup = {
    prompt: [1, 2],
    completions: [[10], [20, 21, 22, 23], [30, 31, 32, 33, 34, 35, 36]],
    pairs: [
      { chosen: 1, rejected: 0 },
      { chosen: 2, rejected: 1 },
    ],
  };
  /** What the model has read where a reward is taken. */
  function read(groups: RewardGroup[]) {
    const { packed, int64 } = rewardStep(groups, ROW);
    const upTo = (row: bigint) => {
      const [at, t] = [Number(row), Number(packed.positions[Number(row)])];
      return Array.from(packed.ids.slice(at - t, at + 1), Number);
    };
    return [...int64["chosen_rows"]!].map((row, i) => [
      upTo(row),
      upTo(int64["rejected_rows"]![i]!),
    ]);
  }

  test("compares answers at their ends", () => {
    const [short, middle, long] = group.completions.map((each) => [1, 2, ...each]);
    const other = { prompt: [5], completions: [[6], [7]], pairs: [{ chosen: 0, rejected: 1 }] };
    expect(read([group, other])).toEqual([
      [middle, short],
      [long, middle],
      [
        [5, 6],
        [5, 7],
      ],
    ]);
  });

  test("packs each answer once, however many pairs it is in", () => {
    const { packed } = rewardStep([group], ROW);
    expect(unpacked(packed)).toEqual(group.completions.map((each) => [1, 2, ...each]));
  });
});

describe("correctionStep", () => {
  test("marks the row of each token itself, with what should stand there", () => {
    const { packed, int64, float32 } = correctionStep(
      [
        {
          prompt: [1, 2],
          completion: [10, 11],
          marks: [{ at: 1, target: -1, truth: 12 }],
        },
        {
          prompt: [3],
          completion: [20, 21, 22],
          marks: [
            { at: 0, target: 1, truth: 20 },
            { at: 2, target: -1, truth: null },
          ],
        },
      ],
      ROW,
    );
    expect([...int64["rows"]!].map((row) => Number(packed.ids[Number(row)]))).toEqual([11, 20, 22]);
    expect([...int64["labels"]!].map(Number)).toEqual([12, 20, 0]);
    expect([...float32["weights"]!]).toEqual([1, 1, 0]);
    expect([...float32["targets"]!]).toEqual([-1, 1, -1]);
  });
});

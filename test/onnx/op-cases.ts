/** Cases for the operator tests, by family of operators. */
import type { DType } from "../../src/onnx/dtype.ts";
import type { Attributes } from "../../src/onnx/ops.ts";
import { BLOCK, dequantize, quantize, quantizedShapes } from "../../src/onnx/quantize.ts";
import { type Shape, show } from "../../src/onnx/shapes.ts";
import { at, generate, type Nd, nd, random, spread } from "../support/arrays.ts";
import { type Feed, feed } from "../support/graphs.ts";
import {
  elementwise,
  product,
  reduce,
  rotated,
  row,
  scattered,
  softmax,
  sum,
} from "../support/naive.ts";

export interface Case<A> {
  readonly says: string;
  readonly x: readonly Feed[];
  readonly at: A;
  /** The first output, by definition. */
  readonly expected: (...x: Nd[]) => Nd;
  /** The output's type, where it is not the first input's. */
  readonly gives?: DType;
  /**
   * Positions of real inputs without a gradient: flat ones, which differences confirm, and constant
   * ones, for which training has no use. `backward` refuses both.
   */
  readonly flat?: readonly number[];
  readonly constant?: readonly number[];
}

export const double = (numbers: Nd, declared?: Shape) => feed("float64", numbers, declared);
export const single = (numbers: Nd, declared?: Shape) => feed("float32", numbers, declared);
export const int64 = (shape: readonly number[], data: readonly number[]) =>
  feed("int64", nd(shape, data));
export const bool = (shape: readonly number[], data: readonly number[]) =>
  feed("bool", nd(shape, data));

/** Pairs of shapes as declared; "b" is 2 and "t" is 3. */
export const pairs: readonly (readonly [string, Shape, Shape])[] = [
  ["equal shapes", [2, 3], [2, 3]],
  ["a missing leading axis on the left", [3], [2, 3]],
  ["a missing leading axis on the right", [2, 2, 3], [2, 3]],
  ["an inner axis of size 1", [2, 1, 3], [2, 3, 3]],
  ["both sides stretched", [2, 1], [1, 3]],
  ["a scalar on the left", [], [2, 3]],
  ["a scalar on the right", [2, 3], []],
  ["axes of size 1 that stay", [1, 3], [1, 1]],
  ["symbolic sizes", ["b", "t"], ["b", 1]],
  ["a row against symbolic rows", ["b", 3], [3]],
];

export const real = (shape: Shape) =>
  shape.map((dim) => (dim === "b" ? 2 : dim === "t" ? 3 : Number(dim)));

type Draw = (seed: number, shape: readonly number[]) => Nd;

export function binary(
  f: (a: number, b: number) => number,
  drawA: Draw = random,
  drawB: Draw = random,
): Case<Attributes<"Add">>[] {
  return pairs.map(([says, a, b]) => ({
    says,
    x: [double(drawA(1, real(a)), a), double(drawB(2, real(b)), b)],
    at: {},
    expected: elementwise(f),
  }));
}

/** Comparisons: no gradient where they are not equal, and what holds for equal numbers. */
export function comparison(f: (a: number, b: number) => boolean): Case<Attributes<"Less">>[] {
  const bit = (a: number, b: number) => Number(f(a, b));
  const separated = binary(bit, spread, (seed, shape) => spread(seed, shape, 0.1));
  const expected = elementwise(bit);
  const [a, b] = [int64([5], [1, 2, 3, -1, 0]), int64([5], [2, 2, 2, -1, -2])];
  return [
    ...separated.map((each) => ({ ...each, gives: "bool" as const, flat: [0, 1] })),
    { says: "integers, some equal", x: [a, b], at: {}, gives: "bool", expected },
  ];
}

export function unary(
  f: (x: number) => number,
  draw: Draw = random,
  type = double,
): Case<Attributes<"Neg">>[] {
  return [
    { says: "a matrix", x: [type(draw(1, [2, 3]))], at: {}, expected: elementwise(f) },
    { says: "a scalar", x: [type(draw(2, []))], at: {}, expected: elementwise(f) },
    {
      says: "unknown rows",
      x: [type(draw(3, [2, 3]), ["b", 3])],
      at: {},
      expected: elementwise(f),
    },
  ];
}

export const positive: Draw = (seed, shape) => random(seed, shape, 0.5, 2);

/** Every choice of axes, with and without keepdims; `f` sees the elements that fall together. */
export function reduction(
  f: (x: number[]) => number,
  draw: Draw = random,
): Case<Attributes<"ReduceSum">>[] {
  const axes = [[0], [1], [-1], [0, 2], [1, 2], [-3, -2], [0, 1, 2]];
  const fixed = axes.flatMap((chosen) =>
    ([0, 1] as const).map((keepdims) => ({
      says: `axes ${show(chosen)}, keepdims ${keepdims}`,
      x: [double(draw(1, [2, 3, 4]))],
      at: { axes: chosen, keepdims },
      expected: (x: Nd) => reduce(f, x, chosen, keepdims),
    })),
  );
  const symbolic = [[0], [1], [0, 1]].map((chosen) => ({
    says: `axes ${show(chosen)} of unknown size`,
    x: [double(draw(2, [2, 3]), ["b", "t"])],
    at: { axes: chosen, keepdims: 0 as const },
    expected: (x: Nd) => reduce(f, x, chosen, 0),
  }));
  const scalar: Case<Attributes<"ReduceSum">> = {
    says: "a scalar over no axes",
    x: [double(draw(3, []))],
    at: { axes: [], keepdims: 0 },
    expected: (x) => reduce(f, x, [], 0),
  };
  return [...fixed, ...symbolic, scalar];
}

/** f maps one line along an axis to a line of the same length. */
export function alongAxis<A>(
  f: (line: number[]) => number[],
  attributes: (axis: number) => A,
): { says: string; x: Feed[]; at: A; expected: (x: Nd) => Nd }[] {
  return [0, 1, -1].map((axis) => ({
    says: `axis ${axis}`,
    x: [double(random(1, [2, 3, 4]), ["b", 3, 4])],
    at: attributes(axis),
    expected: (x: Nd) => {
      const normal = (axis + 3) % 3;
      return generate(x.shape, (i) => {
        const line = Array.from({ length: x.shape[normal]! }, (_, j) => at(x, i.with(normal, j)));
        return f(line)[i[normal]!]!;
      });
    },
  }));
}

export const matrices: readonly (readonly [string, Shape, Shape])[] = [
  ["two matrices", [2, 3], [3, 4]],
  ["a batch and a matrix", [5, 2, 3], [3, 4]],
  ["a matrix and a batch", [2, 3], [5, 3, 4]],
  ["batches stretched on both sides", [5, 1, 2, 3], [1, 2, 3, 4]],
  ["a batch of unknown size", ["b", 2, 3], ["b", 3, 4]],
  ["unknown rows", ["b", 3], [3, 4]],
];

export function fusedProducts(): Case<Attributes<"FusedMatMul">>[] {
  const bits = [0, 1] as const;
  const swapped = (shape: Shape, swap: 0 | 1): Shape =>
    swap ? [...shape.slice(0, -2), ...shape.slice(-2).reverse()] : shape;
  return bits.flatMap((transA) =>
    bits.flatMap((transB) =>
      matrices.map(([says, a, b]) => {
        const [left, right] = [swapped(a, transA), swapped(b, transB)];
        return {
          says: `${says}, transA ${transA}, transB ${transB}`,
          x: [single(random(1, real(left)), left), single(random(2, real(right)), right)],
          at: { transA, transB, alpha: 0.7 },
          expected: (x: Nd, y: Nd) => product(x, y, transA, transB, Math.fround(0.7)),
        };
      }),
    ),
  );
}

export function transpose(perm: readonly number[]): Case<Attributes<"Transpose">> {
  return {
    says: `order ${show(perm)}`,
    x: [double(random(1, [2, 3, 4, 5].slice(0, perm.length)))],
    at: { perm },
    expected: (x) =>
      generate(
        perm.map((axis) => x.shape[axis]!),
        (i) =>
          at(
            x,
            perm.map((_, axis) => i[perm.indexOf(axis)]!),
          ),
      ),
  };
}

export function reshape(
  from: readonly number[],
  to: readonly number[],
): Case<Attributes<"Reshape">> {
  return {
    says: `${show(from)} to ${show(to)}`,
    x: [double(random(1, from)), int64([to.length], to)],
    at: { shape: to },
    expected: (x) => nd(to, x.data),
  };
}

export function expand(from: readonly number[], to: readonly number[]): Case<Attributes<"Expand">> {
  return {
    says: `${show(from)} to ${show(to)}`,
    x: [double(random(1, from)), int64([to.length], to)],
    at: { shape: to },
    expected: (x) => generate(to, (i) => at(x, i)),
  };
}

export function concat(
  axis: number,
  shapes: readonly (readonly number[])[],
): Case<Attributes<"Concat">> {
  return {
    says: `${shapes.map(show).join(" ")} along ${axis}`,
    x: shapes.map((shape, i) => double(random(i, shape))),
    at: { axis },
    expected: (...xs) => {
      const [first] = xs as [Nd]; // one at least
      const normal = (axis + first.shape.length) % first.shape.length;
      const sizes = xs.map((x) => x.shape[normal]!);
      return generate(first.shape.with(normal, sum(sizes)), (i) => {
        let [which, offset] = [0, i[normal]!];
        while (offset >= sizes[which]!) offset -= sizes[which++]!;
        return at(xs[which]!, i.with(normal, offset));
      });
    },
  };
}

export function slice(axis: number, start: number, end: number): Case<Attributes<"Slice">> {
  const normal = (axis + 3) % 3;
  return {
    says: `axis ${axis} from ${start} to ${end}`,
    x: [double(random(1, [2, 3, 4]), normal === 0 ? [2, 3, 4] : ["b", 3, 4])],
    at: { axis, start, end },
    expected: (x) =>
      generate(x.shape.with(normal, end - start), (i) => at(x, i.with(normal, i[normal]! + start))),
  };
}

export function scatterElements(
  reduction: "none" | "add",
  rows: readonly number[],
): Case<Attributes<"ScatterElements">> {
  return {
    says: `${reduction} along axis 0`,
    x: [double(random(1, [4, 2])), int64([3, 2], rows), double(random(2, [3, 2]))],
    at: { axis: 0, reduction },
    expected: (x, indices, updates) => {
      const writes = indices.data.map((row, i) => [row * 2 + (i % 2), updates.data[i]!] as const);
      return scattered(x, writes, reduction);
    },
  };
}

export function scatterRows(
  reduction: "none" | "add",
  rows: readonly number[],
): Case<Attributes<"ScatterND">> {
  return {
    says: `${reduction} rows ${show(rows)}`,
    x: [
      double(random(1, [4, 3])),
      int64([rows.length, 1], rows),
      double(random(2, [rows.length, 3])),
    ],
    at: { reduction },
    expected: (x, indices, updates) => {
      const place = (i: number) => indices.data[Math.floor(i / 3)]! * 3 + (i % 3);
      const writes = updates.data.map((value, i) => [place(i), value] as const);
      return scattered(x, writes, reduction);
    },
  };
}

export function rotaryExpected(x: Nd, cos: Nd, sin: Nd, ids: Nd): Nd {
  return generate(x.shape, (index) => {
    const [b, h, t, i] = index as [number, number, number, number];
    const position = at(ids, [b, t]);
    return rotated(row(x, b, h, t), row(cos, position), row(sin, position))[i]!;
  });
}

/** One new token of each of 2 sequences; 4 heads on 2 key-value heads of 16, capacity 4. */
export const [HEADS, KV_HEADS, HEAD_DIM] = [4, 2, 16];
/** Two blocks of inputs, and outputs of different sizes. */
export function fewBits(bits: 4 | 8): Case<Attributes<"MatMulNBits">> {
  const [outputs, inputs] = [5, 64];
  const values = random(2, [outputs, inputs]).data.map((x, i) => x * (1 + Math.floor(i / inputs)));
  const matrix = quantize(Float32Array.from(values), outputs, inputs, bits);
  const shapes = quantizedShapes(outputs, inputs, bits);
  const whole = nd([outputs, inputs], [...dequantize(matrix)]);
  return {
    says: `${bits} bits`,
    x: [
      single(random(1, [3, inputs])),
      feed("uint8", nd(shapes.packed, [...matrix.packed])),
      single(nd(shapes.scales, [...matrix.scales])),
      feed("uint8", nd(shapes.zeros, [...matrix.zeros])),
    ],
    at: { K: inputs, N: outputs, bits, block_size: BLOCK, accuracy_level: 1 },
    constant: [0, 2],
    expected: (x) => product(x, whole, 0, 1, 1),
  };
}

export const groupQuery: Case<Attributes<"GroupQueryAttention">> = {
  says: "one new token each, ragged lengths",
  x: [
    single(random(1, [2, 1, HEADS * HEAD_DIM])),
    single(random(2, [2, 1, KV_HEADS * HEAD_DIM])),
    single(random(3, [2, 1, KV_HEADS * HEAD_DIM])),
    single(random(4, [2, KV_HEADS, 4, HEAD_DIM])),
    single(random(5, [2, KV_HEADS, 4, HEAD_DIM])),
    feed("int32", nd([2], [1, 3])),
    feed("int32", nd([], [4])),
    single(random(6, [4, HEAD_DIM / 2])),
    single(random(7, [4, HEAD_DIM / 2])),
  ],
  at: {
    num_heads: HEADS,
    kv_num_heads: KV_HEADS,
    do_rotary: 1,
    rotary_interleaved: 0,
    scale: 0.5,
    softcap: 0,
    local_window_size: -1,
  },
  constant: [0, 1, 2, 3, 4, 7, 8],
  expected: (...x) => groupQueryExpected(x),
};

function groupQueryExpected(inputs: readonly Nd[]): Nd {
  const [query, key, value, pastKey, pastValue, lengths, , cos, sin] = inputs as [
    Nd,
    Nd,
    Nd,
    Nd,
    Nd,
    Nd,
    Nd,
    Nd,
    Nd,
  ]; // as many as the operator has
  return generate(query.shape, (index) => {
    const [b, , flat] = index as [number, number, number];
    const [head, i] = [Math.floor(flat / HEAD_DIM), flat % HEAD_DIM];
    const kvHead = Math.floor(head / (HEADS / KV_HEADS));
    const position = at(lengths, [b]);
    const part = (x: Nd, h: number) => row(x, b, 0).slice(h * HEAD_DIM, (h + 1) * HEAD_DIM);
    const turn = (line: number[]) => rotated(line, row(cos, position), row(sin, position));
    const q = turn(part(query, head));
    const keys = [...past(pastKey, b, kvHead, position), turn(part(key, kvHead))];
    const values = [...past(pastValue, b, kvHead, position), part(value, kvHead)];
    const weights = softmax(keys.map((k) => 0.5 * sum(k.map((each, j) => each * q[j]!))));
    return sum(values.map((v, j) => v[i]! * weights[j]!));
  });
}

const past = (cache: Nd, b: number, head: number, length: number) =>
  Array.from({ length }, (_, t) => row(cache, b, head, t));

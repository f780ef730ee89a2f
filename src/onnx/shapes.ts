/**
 * Shape inference: type and shape of every operator's outputs, one entry per operator. A dimension is
 * a number or a symbol ("batch") that stands for the same unknown size wherever it appears.
 */
import { assert } from "../base/assert.ts";
import { type DType, elementCount } from "./dtype.ts";
import type { Attributes, Inputs, OpName } from "./ops.ts";

export type Dim = number | string;
export type Shape = readonly Dim[];

export interface TypedShape {
  readonly dtype: DType;
  readonly shape: Shape;
}

type Infer<K extends OpName> = (x: Inputs<K>, at: Attributes<K>) => readonly TypedShape[];

/**
 * NumPy broadcasting: aligned at the end, a 1 stretches, equal sizes stay.
 * @throws InvariantError when two sizes differ, or when two different symbols meet.
 */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const left = a[i - rank + a.length] ?? 1;
    const right = b[i - rank + b.length] ?? 1;
    assert(
      left === right || left === 1 || right === 1,
      `cannot broadcast ${show(a)} with ${show(b)}`,
    );
    return left === 1 ? right : left;
  });
}

/** Negative axes count from the end. */
export function normalAxis(axis: number, rank: number): number {
  assert(axis >= -rank && axis < rank, `axis ${axis} is outside of rank ${rank}`);
  return axis < 0 ? axis + rank : axis;
}

export function show(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

type One = readonly [TypedShape];
type Two = readonly [TypedShape, TypedShape];

const same = ([x]: One) => [x];
const elementwise = ([a, b]: Two): readonly TypedShape[] => [
  { dtype: sameType(a, b), shape: broadcast(a.shape, b.shape) },
];
const comparison = (operands: Two): readonly TypedShape[] => [
  { dtype: "bool", shape: elementwise(operands)[0]!.shape },
];

function sameType(a: TypedShape, b: TypedShape): DType {
  assert(a.dtype === b.dtype, `element types differ: ${a.dtype} and ${b.dtype}`);
  return a.dtype;
}

const reduction = (
  [x]: One,
  { axes, keepdims }: Attributes<"ReduceSum">,
): readonly TypedShape[] => {
  const reduced = new Set(axes.map((axis) => normalAxis(axis, x.shape.length)));
  const shape = keepdims
    ? x.shape.map((dim, i) => (reduced.has(i) ? 1 : dim))
    : x.shape.filter((_, i) => !reduced.has(i));
  return [{ dtype: x.dtype, shape }];
};

function matmul(a: TypedShape, b: TypedShape, transA = 0, transB = 0): readonly TypedShape[] {
  assert(
    a.shape.length >= 2 && b.shape.length >= 2,
    `matrices need rank 2: ${show(a.shape)} · ${show(b.shape)}`,
  );
  const [rows, inner] = transA ? lastTwo(a.shape).reverse() : lastTwo(a.shape);
  const [innerB, columns] = transB ? lastTwo(b.shape).reverse() : lastTwo(b.shape);
  assert(inner === innerB, `inner sizes differ: ${show(a.shape)} · ${show(b.shape)}`);
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return [{ dtype: sameType(a, b), shape: [...batch, rows!, columns!] }];
}

const lastTwo = (shape: Shape): Dim[] => shape.slice(-2);

export const inferences: { readonly [K in OpName]: Infer<K> } = {
  Add: elementwise,
  Sub: elementwise,
  Mul: elementwise,
  Div: elementwise,
  Max: elementwise,
  Min: elementwise,
  Pow: elementwise,
  And: elementwise,
  Less: comparison,
  LessOrEqual: comparison,
  Equal: comparison,
  Neg: same,
  Abs: same,
  Exp: same,
  Log: same,
  Sqrt: same,
  Reciprocal: same,
  Sin: same,
  Cos: same,
  Tanh: same,
  Sigmoid: same,
  Softplus: same,
  Identity: same,
  Softmax: same,
  LogSoftmax: same,
  CumSum: same,
  Cast: ([x], { to }) => [{ dtype: to, shape: x.shape }],
  Where: ([condition, a, b]) => [
    { dtype: sameType(a, b), shape: broadcast(condition.shape, broadcast(a.shape, b.shape)) },
  ],
  MatMul: ([a, b]) => matmul(a, b),
  FusedMatMul: ([a, b], { transA, transB }) => matmul(a, b, transA, transB),
  Gemm: ([a, b], { transA, transB }) => matmul(a, b, transA, transB),
  Transpose: ([x], { perm }) => {
    const isOrder =
      x.shape.every((_, axis) => perm.includes(axis)) && perm.length === x.shape.length;
    assert(isOrder, `${show(perm)} is not an order of the axes of ${show(x.shape)}`);
    return [{ dtype: x.dtype, shape: perm.map((axis) => x.shape[axis]!) }];
  },
  Reshape: ([x], { shape }) => {
    const [before, after] = [knownCount(x.shape), knownCount(shape)];
    const fits = before === null || after === null || before === after;
    assert(fits, `${show(x.shape)} does not fill ${show(shape)}`);
    return [{ dtype: x.dtype, shape }];
  },
  Expand: ([x], { shape }) => {
    const fits = show(broadcast(x.shape, shape)) === show(shape);
    assert(fits, `${show(x.shape)} does not stretch to ${show(shape)}`);
    return [{ dtype: x.dtype, shape }];
  },
  Concat: (xs, { axis }) => {
    const first = xs[0]!;
    const at = normalAxis(axis, first.shape.length);
    const around = (x: TypedShape) => show(x.shape.with(at, "·"));
    for (const x of xs) {
      const fits = sameType(first, x) && around(first) === around(x);
      assert(fits, `cannot join ${show(first.shape)} and ${show(x.shape)} along axis ${at}`);
    }
    const size = xs.reduce((sum, x) => sum + fixed(x.shape[at]!), 0);
    return [{ dtype: first.dtype, shape: first.shape.with(at, size) }];
  },
  Slice: ([x], { axis, start, end }) => {
    const at = normalAxis(axis, x.shape.length);
    const size = fixed(x.shape[at]!);
    const fits = 0 <= start && start <= end && end <= size;
    assert(fits, `${start} to ${end} is outside of axis ${at} of ${show(x.shape)}`);
    return [{ dtype: x.dtype, shape: x.shape.with(at, end - start) }];
  },
  Gather: ([x, indices], { axis }) => {
    const at = normalAxis(axis, x.shape.length);
    return [
      {
        dtype: x.dtype,
        shape: [...x.shape.slice(0, at), ...indices.shape, ...x.shape.slice(at + 1)],
      },
    ];
  },
  GatherElements: ([x, indices]) => [{ dtype: x.dtype, shape: indices.shape }],
  GatherND: ([x, indices]) => {
    const depth = fixed(indices.shape.at(-1)!);
    return [{ dtype: x.dtype, shape: [...indices.shape.slice(0, -1), ...x.shape.slice(depth)] }];
  },
  ScatterElements: ([x]) => [x],
  ScatterND: ([x]) => [x],
  ReduceSum: reduction,
  ReduceMean: reduction,
  ReduceMax: reduction,
  ReduceLogSumExp: reduction,
  ArgMax: ([x], { axis, keepdims }) => [
    { dtype: "int64", shape: reduction([x], { axes: [axis], keepdims })[0]!.shape },
  ],
  RMSNormalization: ([x]) => [x],
  RotaryEmbedding: ([x]) => [x],
  TensorScatter: ([cache]) => [cache],
  Shape: ([x]) => [{ dtype: "int64", shape: [x.shape.length] }],
  Size: () => [{ dtype: "int64", shape: [] }],
  ConstantOfShape: (_, { dtype, shape }) => [{ dtype, shape }],
  Range: ([start], { shape }) => [{ dtype: start.dtype, shape }],
  MatMulNBits: ([a], { K, N }) => {
    assert(a.shape.at(-1) === K, `inner sizes differ: ${show(a.shape)} · ${K}`);
    return [{ dtype: a.dtype, shape: a.shape.with(-1, N) }];
  },
  GroupQueryAttention: ([query, , , pastKey, pastValue]) => [query, pastKey, pastValue],
};

/** Number of elements; null when a size is a symbol. */
export function knownCount(shape: Shape): number | null {
  return shape.every((dim) => typeof dim === "number") ? elementCount(shape) : null;
}

function fixed(dim: Dim): number {
  assert(typeof dim === "number", `the size ${dim} must be known here`);
  return dim;
}

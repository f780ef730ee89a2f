/**
 * Every operator of the table against its definition in plain JavaScript: value, inferred type and
 * shape, and gradient. An operator without cases does not compile.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import { backward } from "../../src/onnx/backward.ts";
import { Graph, type Value } from "../../src/onnx/graph.ts";
import type { Attributes, Inputs, OpName } from "../../src/onnx/ops.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { Shape } from "../../src/onnx/shapes.ts";
import { at, generate, type Nd, nd, random, spread } from "../support/arrays.ts";
import { gradientError, largestSlope, type Question } from "../support/gradients.ts";
import { evaluate, type Feed, feed, inputs } from "../support/graphs.ts";
import {
  elementwise,
  exponentials,
  gathered,
  gatheredElements,
  product,
  row,
  softmax,
  sum,
} from "../support/naive.ts";
import {
  alongAxis,
  binary,
  bool,
  type Case,
  comparison,
  concat,
  double,
  expand,
  fewBits,
  fusedProducts,
  groupQuery,
  int64,
  matrices,
  pairs,
  positive,
  real,
  reduction,
  reshape,
  rotaryExpected,
  scatterElements,
  scatterRows,
  single,
  slice,
  transpose,
  unary,
} from "./op-cases.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const cases: { readonly [K in OpName]: readonly Case<Attributes<K>>[] } = {
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  Div: binary((a, b) => a / b, random, positive),
  Max: binary(Math.max, spread, (seed, shape) => spread(seed, shape, 0.1)),
  Min: binary(Math.min, spread, (seed, shape) => spread(seed, shape, 0.1)),
  Pow: binary((a, b) => a ** b, positive),
  Less: comparison((a, b) => a < b),
  LessOrEqual: comparison((a, b) => a <= b),
  Equal: comparison((a, b) => a === b),
  And: [
    {
      says: "all four, stretched",
      x: [bool([2, 1], [0, 1]), bool([2], [0, 1])],
      at: {},
      expected: elementwise((a, b) => a * b),
    },
  ],
  Neg: unary((x) => -x),
  Abs: unary(Math.abs, spread),
  Exp: unary(Math.exp),
  Log: unary(Math.log, positive),
  Sqrt: unary(Math.sqrt, positive),
  Reciprocal: unary((x) => 1 / x, positive),
  Sin: unary(Math.sin),
  Cos: unary(Math.cos),
  Tanh: unary(Math.tanh),
  Sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  Softplus: unary((x) => Math.log1p(Math.exp(x)), random, single),
  Identity: unary((x) => x),
  Cast: [
    {
      says: "double to single",
      x: [double(random(1, [3]))],
      at: { to: "float32" },
      gives: "float32",
      expected: elementwise(Math.fround),
    },
    {
      says: "single to double",
      x: [single(random(1, [3]))],
      at: { to: "float64" },
      gives: "float64",
      expected: elementwise(Math.fround),
    },
    {
      says: "to integers, towards zero",
      x: [double(spread(1, [3], 0.1))],
      at: { to: "int64" },
      gives: "int64",
      flat: [0],
      expected: elementwise(Math.trunc),
    },
    {
      says: "from truth values",
      x: [bool([3], [1, 0, 1])],
      at: { to: "float64" },
      gives: "float64",
      expected: (x) => x,
    },
  ],
  Where: [...pairs, ["a condition of another shape", [2, 3], [2, 3]] as const].map(
    ([says, a, b], i) => {
      const condition = says.startsWith("a condition") ? [2, 1] : a;
      const choice = generate(real(condition), (index) => (sum(index) + i) % 2);
      return {
        says,
        x: [
          feed("bool", choice, condition),
          double(random(1, real(a)), a),
          double(random(2, real(b)), b),
        ],
        at: {},
        gives: "float64",
        expected: elementwise((chosen, left, right) => (chosen ? left : right)),
      };
    },
  ),
  MatMul: matrices.map(([says, a, b]) => ({
    says,
    x: [double(random(1, real(a)), a), double(random(2, real(b)), b)],
    at: {},
    expected: (x, y) => product(x, y, 0, 0, 1),
  })),
  FusedMatMul: fusedProducts(),
  Gemm: ([0, 1] as const).flatMap((transA) =>
    ([0, 1] as const).map((transB) => ({
      says: `${transA ? "Aᵀ" : "A"}·${transB ? "Bᵀ" : "B"}`,
      x: [single(random(1, transA ? [3, 2] : [2, 3])), single(random(2, transB ? [4, 3] : [3, 4]))],
      at: { transA, transB },
      constant: [0, 1],
      expected: (x, y) => product(x, y, transA, transB, 1),
    })),
  ),
  Transpose: [[], [0], [1, 0], [0, 2, 1], [2, 0, 1], [3, 1, 0, 2]].map(transpose),
  Reshape: [reshape([2, 3, 4], [6, 4]), reshape([6], [2, 3, 1]), reshape([1, 1], [])],
  Expand: [
    expand([1, 3], [2, 3]),
    expand([3], [2, 3]),
    expand([], [2, 2]),
    expand([2, 1, 3], [4, 2, 5, 3]),
    expand([2, 3], [2, 3]),
  ],
  Concat: [
    concat(0, [
      [2, 3],
      [1, 3],
    ]),
    concat(-1, [
      [2, 3],
      [2, 1],
      [2, 2],
    ]),
    concat(1, [
      [2, 2, 2],
      [2, 1, 2],
    ]),
    concat(0, [[3]]),
  ],
  Slice: [
    slice(0, 0, 1),
    slice(1, 1, 2),
    slice(1, 1, 3),
    slice(-1, 0, 4),
    slice(2, 3, 4),
    slice(1, 2, 2),
  ],
  Gather: [
    {
      says: "rows, one of them three times",
      x: [double(random(1, [4, 3])), int64([5], [2, 0, 2, 3, 2])],
      at: { axis: 0 },
      expected: gathered(0),
    },
    {
      says: "a matrix of rows, counted from the end",
      x: [double(random(1, [4, 3])), int64([2, 2], [-1, 0, -4, 1])],
      at: { axis: 0 },
      expected: gathered(0),
    },
    {
      says: "one row by a scalar",
      x: [double(random(1, [4, 3, 2])), int64([], [2])],
      at: { axis: 0 },
      expected: gathered(0),
    },
    {
      says: "rows of unknown number and size",
      x: [double(random(1, [4, 3]), ["n", "size"]), feed("int64", nd([2], [1, 1]), ["m"])],
      at: { axis: 0 },
      expected: gathered(0),
    },
    {
      says: "columns, forward only",
      x: [double(random(1, [2, 3])), int64([2], [2, 0])],
      at: { axis: 1 },
      constant: [0],
      expected: gathered(1),
    },
  ],
  GatherElements: [
    {
      says: "the same place twice, last axis",
      x: [double(random(1, [2, 4])), int64([2, 3], [3, 0, 3, 1, 1, 1])],
      at: { axis: -1 },
      expected: gatheredElements(1),
    },
    {
      says: "first axis, unknown sizes",
      x: [double(random(1, [3, 2]), ["n", "d"]), feed("int64", nd([1, 2], [2, 0]), ["m", "d"])],
      at: { axis: 0 },
      expected: gatheredElements(0),
    },
  ],
  GatherND: [
    {
      says: "rows of a slot and a head",
      x: [single(random(1, [2, 3, 4, 5])), int64([3, 3], [1, 0, 3, 0, 2, 2, 1, 0, 3])],
      at: {},
      constant: [0],
      expected: (x, indices) =>
        generate([3, 5], ([n, i]) => {
          const place = [0, 1, 2].map((axis) => at(indices, [n!, axis]));
          return at(x, [...place, i!]);
        }),
    },
  ],
  ScatterElements: [
    scatterElements("none", [0, 3, 2, 1, 3, 0]),
    scatterElements("add", [0, 3, 0, 3, 3, 3]),
  ],
  ScatterND: [scatterRows("none", [2, 0]), scatterRows("add", [2, 0, 2, 2])],
  ReduceSum: reduction(sum),
  ReduceMean: reduction((x) => sum(x) / x.length),
  ReduceMax: reduction((x) => Math.max(...x), spread),
  ReduceLogSumExp: reduction((x) => Math.log(sum(exponentials(x)))),
  ArgMax: [0, 1].map((keepdims) => ({
    says: keepdims ? "the first of equals, axis kept" : "the first of equals",
    x: [double(nd([2, 4], [1, 3, 3, -2, -5, -5, -9, -7]))],
    at: { axis: 1, keepdims: keepdims as 0 | 1 },
    gives: "int64",
    constant: [0],
    expected: () => nd(keepdims ? [2, 1] : [2], [1, 0]),
  })),
  Softmax: alongAxis(softmax, (axis) => ({ axis })),
  LogSoftmax: alongAxis(
    (line) => softmax(line).map(Math.log),
    (axis) => ({ axis }),
  ),
  CumSum: [
    ...alongAxis(
      (line) => line.map((_, i) => sum(line.slice(0, i + 1))),
      (axis) => ({ axis, reverse: 0 as const }),
    ),
    ...alongAxis(
      (line) => line.map((_, i) => sum(line.slice(i))),
      (axis) => ({ axis, reverse: 1 as const }),
    ),
  ],
  RMSNormalization: [
    {
      says: "the last axis",
      x: [single(random(1, [2, 3, 4]), ["b", 3, 4]), single(random(2, [4]))],
      at: { epsilon: 0.25 },
      expected: (x, scale) =>
        generate(x.shape, ([a, b, i]) => {
          const meanSquare = sum(row(x, a!, b!).map((each) => each * each)) / 4;
          return (at(x, [a!, b!, i!]) / Math.sqrt(meanSquare + 0.25)) * at(scale, [i!]);
        }),
    },
  ],
  RotaryEmbedding: [
    {
      says: "positions in any order",
      x: [
        single(random(1, [2, 2, 3, 4]), ["b", 2, "t", 4]),
        single(random(2, [5, 2])),
        single(random(3, [5, 2])),
        feed("int64", nd([2, 3], [0, 1, 4, 2, 2, 0]), ["b", "t"]),
      ],
      at: {},
      constant: [1, 2],
      expected: rotaryExpected,
    },
  ],
  Shape: [
    {
      says: "unknown sizes too",
      x: [double(random(1, [2, 3]), ["b", 3])],
      at: {},
      gives: "int64",
      flat: [0],
      expected: (x) => nd([2], x.shape),
    },
  ],
  Size: [
    {
      says: "unknown sizes too",
      x: [double(random(1, [2, 3]), ["b", 3])],
      at: {},
      gives: "int64",
      flat: [0],
      expected: () => nd([], [6]),
    },
  ],
  ConstantOfShape: [
    {
      says: "of doubles",
      x: [int64([2], [2, 3])],
      at: { value: -1.5, dtype: "float64", shape: [2, 3] },
      gives: "float64",
      expected: () => generate([2, 3], () => -1.5),
    },
    {
      says: "of integers, a scalar",
      x: [int64([0], [])],
      at: { value: 7, dtype: "int64", shape: [] },
      expected: () => nd([], [7]),
    },
  ],
  TensorScatter: [
    {
      says: "one row a batch",
      x: [single(random(1, [2, 2, 3, 2])), single(random(2, [2, 2, 1, 2])), int64([2], [2, 0])],
      at: { axis: -2 },
      constant: [0, 1],
      expected: (cache, update) =>
        generate([2, 2, 3, 2], ([b, h, t, i]) =>
          t === [2, 0][b!] ? at(update, [b!, h!, 0, i!]) : at(cache, [b!, h!, t!, i!]),
        ),
    },
  ],
  Range: [
    {
      says: "from start to below limit",
      x: [int64([], [2]), int64([], [9]), int64([], [3])],
      at: { shape: [3] },
      expected: () => nd([3], [2, 5, 8]),
    },
  ],
  MatMulNBits: [4, 8].map((bits) => fewBits(bits as 4 | 8)),
  GroupQueryAttention: [groupQuery],
};

/** Double precision agrees to 12 digits in values and 8 in gradients; single precision to 6 and 4. */
const tolerances = {
  float64: { value: 1e-12, gradient: 1e-8 },
  float32: { value: 2e-6, gradient: 1e-4 },
};

describe.each(Object.keys(cases) as OpName[])("%s", (op) => runCases(op)); // keys of a total table

function runCases<K extends OpName>(op: K): void {
  test.each([...cases[op]])("$says", async (each) => {
    await checkValue(op, each);
    await checkGradient(op, each);
    await checkRefusals(op, each);
  });
}

/** The operator alone in a graph, its inputs fed. */
function build<K extends OpName>(op: K, { x, at: attributes }: Case<Attributes<K>>) {
  const g = new Graph();
  const feeds = Object.fromEntries(x.map((each, i) => [`x${i}`, each]));
  const values = inputs(g, feeds);
  const operands = x.map((_, i) => values[`x${i}`]!) as readonly Value[] as Inputs<K>; // as many as the case has
  return { g, feeds, y: g.op(op, operands, attributes) };
}

async function checkValue<K extends OpName>(op: K, each: Case<Attributes<K>>): Promise<void> {
  const { g, feeds, y } = build(op, each);
  const { result } = await evaluate(runtime, g, { result: y }, feeds);
  const expected = each.expected(...each.x.map(stored));
  expect(result.dtype).toBe(each.gives ?? each.x[0]!.dtype);
  expect(y.dtype).toBe(result.dtype);
  expect(result.shape).toEqual(expected.shape);
  expect(resolved(y.shape, each.x)).toEqual(expected.shape);
  const { value } = tolerances[result.dtype === "float32" ? "float32" : "float64"];
  for (const [i, number] of expected.data.entries()) {
    expect(Math.abs(result.data[i]! - number)).toBeLessThanOrEqual(
      value * Math.max(1, Math.abs(number)),
    );
  }
}

/** A feed's numbers as its type holds them. */
function stored({ dtype, shape, data }: Feed): Nd {
  return nd(shape, dtype === "float32" ? data.map(Math.fround) : data);
}

/** Symbols replaced by the sizes fed. */
function resolved(shape: Shape, feeds: readonly Feed[]): number[] {
  const sizes = new Map(
    feeds.flatMap((each) => each.declared.map((dim, i) => [dim, each.shape[i]!])),
  );
  return shape.map((dim) => (typeof dim === "number" ? dim : sizes.get(dim)!));
}

const isReal = ({ dtype }: Feed) => dtype === "float64" || dtype === "float32";

async function checkGradient<K extends OpName>(op: K, each: Case<Attributes<K>>): Promise<void> {
  const excluded = [...(each.flat ?? []), ...(each.constant ?? [])];
  const positions = each.x.flatMap((x, i) => (isReal(x) && !excluded.includes(i) ? [i] : []));
  if (positions.length === 0) return;
  const hasSingle = each.x.some(({ dtype }) => dtype === "float32") || each.gives === "float32";
  const wanted = positions.map((i) => `x${i}`);
  const step = hasSingle ? 1 / 16 : 1e-3;
  const error = await gradientError(runtime, { ...build(op, each), wanted }, { step });
  expect(error).toBeLessThan(tolerances[hasSingle ? "float32" : "float64"].gradient);
}

async function checkRefusals<K extends OpName>(op: K, each: Case<Attributes<K>>): Promise<void> {
  const { flat = [], constant = [] } = each;
  for (const i of [...flat, ...constant]) {
    const { g, y } = build(op, each);
    const loss = g.sum(g.cast(y, "float64"));
    expect(() => backward(g, loss, [g.inputs[i]!])).toThrow(InvariantError);
  }
  if (flat.length === 0) return;
  const question: Question = { ...build(op, each), wanted: flat.map((i) => `x${i}`) };
  expect(await largestSlope(runtime, question)).toBe(0);
}

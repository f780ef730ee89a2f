/**
 * Reverse mode, one rule per operator: given the upstream gradient dy of a node's first output, the
 * gradient of each input (null where none flows). Rules build graph nodes. A missing rule, or a rule
 * that forgets an input, does not compile.
 */
import { assert } from "../base/assert.ts";
import type { Graph, Value } from "./graph.ts";
import type { Attributes, Inputs, OpName } from "./ops.ts";
import { normalAxis } from "./shapes.ts";

interface Context<K extends OpName> {
  readonly g: Graph;
  readonly x: Inputs<K>;
  readonly y: Value;
  readonly dy: Value;
  readonly at: Attributes<K>;
}

type OneFor<X extends readonly Value[]> = { readonly [I in keyof X]: Value | null };
type InputGradients<K extends OpName> = OneFor<Inputs<K>>;
export type Gradient<K extends OpName> = (context: Context<K>) => InputGradients<K>;

/** Piecewise constant, or of integers: the gradient is zero wherever it exists. */
const flat1 = (): [null] => [null];
const flat2 = (): [null, null] => [null, null];

export const gradients: { readonly [K in OpName]: Gradient<K> } = {
  Add: ({ g, dy, x: [a, b] }) => [g.sumTo(dy, a), g.sumTo(dy, b)],
  Sub: ({ g, dy, x: [a, b] }) => [g.sumTo(dy, a), g.sumTo(g.neg(dy), b)],
  Mul: ({ g, dy, x: [a, b] }) => [g.sumTo(g.mul(dy, b), a), g.sumTo(g.mul(dy, a), b)],
  Div: ({ g, dy, y, x: [a, b] }) => {
    const over = g.div(dy, b); // (a/b)' = da/b − y·db/b
    return [g.sumTo(over, a), g.sumTo(g.neg(g.mul(over, y)), b)];
  },
  // d(aᵇ) = b·aᵇ⁻¹·da + aᵇ·ln a·db, a > 0. Everywhere else here b is a constant, whose part is dropped.
  Pow: ({ g, dy, y, x: [a, b] }) => [
    g.sumTo(g.mul(dy, g.mul(b, g.pow(a, g.sub(b, g.scalar(1, b.dtype))))), a),
    g.sumTo(g.mul(dy, g.mul(y, g.log(a))), b),
  ],
  Max: ({ g, dy, x: [a, b] }) => pick(g, dy, g.lessOrEqual(b, a), a, b), // a tie goes to a
  Min: ({ g, dy, x: [a, b] }) => pick(g, dy, g.lessOrEqual(a, b), a, b),
  Less: flat2,
  LessOrEqual: flat2,
  Equal: flat2,
  And: flat2,
  Neg: ({ g, dy }) => [g.neg(dy)],
  Abs: ({ g, dy, x: [x] }) => [g.where(g.less(x, g.scalar(0, x.dtype)), g.neg(dy), dy)],
  Exp: ({ g, dy, y }) => [g.mul(dy, y)],
  Log: ({ g, dy, x: [x] }) => [g.div(dy, x)],
  Sqrt: ({ g, dy, y }) => [g.div(g.scale(dy, 0.5), y)], // (√x)' = 1/(2√x)
  Reciprocal: ({ g, dy, y }) => [g.neg(g.mul(dy, g.mul(y, y)))], // (1/x)' = −1/x²
  Sin: ({ g, dy, x: [x] }) => [g.mul(dy, g.cos(x))],
  Cos: ({ g, dy, x: [x] }) => [g.neg(g.mul(dy, g.sin(x)))],
  Tanh: ({ g, dy, y }) => [g.sub(dy, g.mul(dy, g.mul(y, y)))], // tanh' = 1 − tanh²
  Sigmoid: ({ g, dy, y }) => [g.mul(dy, g.sub(y, g.mul(y, y)))], // σ' = σ − σ²
  Softplus: ({ g, dy, x: [x] }) => [g.mul(dy, g.sigmoid(x))], // (ln(1 + eˣ))' = σ(x)
  Identity: ({ dy }) => [dy],
  Cast: ({ g, dy, x: [x] }) => [isReal(x) ? g.cast(dy, x.dtype) : null],
  Where: ({ g, dy, x: [condition, a, b] }) => [null, ...pick(g, dy, condition, a, b)],
  MatMul: ({ g, dy, x: [a, b] }) => matmulGradient(g, dy, a, b, { transA: 0, transB: 0, alpha: 1 }),
  FusedMatMul: ({ g, dy, x: [a, b], at }) => matmulGradient(g, dy, a, b, at),
  Transpose: ({ g, dy, at: { perm } }) => [
    g.transpose(
      dy,
      perm.map((_, i) => perm.indexOf(i)),
    ),
  ],
  Reshape: ({ g, dy, x: [x] }) => [g.reshapeLike(dy, x), null],
  Expand: ({ g, dy, x: [x] }) => [g.sumTo(dy, x), null],
  Concat: ({ g, dy, x: xs, at: { axis } }) => {
    let start = 0;
    return xs.map((x) => {
      const size = Number(x.shape[normalAxis(axis, x.shape.length)]);
      start += size;
      return g.slice(dy, axis, start - size, start);
    });
  },
  Slice: ({ g, dy, x: [x], at }) => [padAround(g, dy, x, at)],
  // Only axis 0: rows used several times add up. dx = zeros with dy added at the gathered rows.
  Gather: ({ g, dy, x: [x, indices], at: { axis } }) => {
    assert(normalAxis(axis, x.shape.length) === 0, "Gather has a gradient on axis 0 only");
    const rows = g.reshape(indices, ["gathered", 1]);
    const flatDy = g.reshape(dy, ["gathered", ...x.shape.slice(1)]);
    return [g.op("ScatterND", [g.zerosLike(x), rows, flatDy], { reduction: "add" }), null];
  },
  GatherElements: ({ g, dy, x: [x, indices], at: { axis } }) => [
    g.op("ScatterElements", [g.zerosLike(x), indices, dy], { axis, reduction: "add" }),
    null,
  ],
  ScatterElements: ({ g, dy, x: [, indices], at: { axis, reduction } }) => {
    const dUpdates = g.gatherElements(dy, indices, axis);
    if (reduction === "add") return [dy, null, dUpdates];
    return [
      g.op("ScatterElements", [dy, indices, g.zerosLike(dUpdates)], { axis, reduction: "none" }),
      null,
      dUpdates,
    ];
  },
  // Indices [n, 1] address rows, as `Gather` on axis 0.
  ScatterND: ({ g, dy, x: [, indices, updates], at: { reduction } }) => {
    const dUpdates = g.reshapeLike(g.gather(dy, g.reshape(indices, [indices.shape[0]!])), updates);
    if (reduction === "add") return [dy, null, dUpdates];
    return [
      g.op("ScatterND", [dy, indices, g.zerosLike(updates)], { reduction: "none" }),
      null,
      dUpdates,
    ];
  },
  ReduceSum: ({ g, dy, x: [x], at }) => [g.expandLike(unreduce(g, dy, x, at), x)],
  ReduceMean: ({ g, dy, x: [x], y, at }) => [
    g.expandLike(unreduce(g, g.div(dy, g.reductionCount(x, y)), x, at), x),
  ],
  // Ties share the gradient equally.
  ReduceMax: ({ g, dy, x: [x], y, at }) => {
    const isMax = g.cast(g.equal(x, unreduce(g, y, x, at)), x.dtype);
    const ties = g.sum(isMax, at.axes, true);
    return [g.mul(isMax, g.div(unreduce(g, dy, x, at), ties))];
  },
  ReduceLogSumExp: ({ g, dy, x: [x], y, at }) => [
    g.mul(unreduce(g, dy, x, at), g.exp(g.sub(x, unreduce(g, y, x, at)))), // softmax(x)·dy
  ],
  // dx = y ⊙ (dy − Σ dy⊙y)
  Softmax: ({ g, dy, y, at: { axis } }) => {
    const weighted = g.mul(dy, y);
    return [g.sub(weighted, g.mul(y, g.sum(weighted, axis, true)))];
  },
  // dx = dy − softmax(x)·Σ dy
  LogSoftmax: ({ g, dy, y, at: { axis } }) => [g.sub(dy, g.mul(g.exp(y), g.sum(dy, axis, true)))],
  CumSum: ({ g, dy, at: { axis, reverse } }) => [
    g.op("CumSum", [dy], { axis, reverse: reverse ? 0 : 1 }), // every later sum contains the element
  ],
  // With r = 1/√(mean x² + ε) and u = dy ⊙ scale: dx = r·(u − x·r²·mean(u⊙x)), dscale = Σ dy ⊙ x·r.
  RMSNormalization: ({ g, dy, x: [x, scale], at: { epsilon } }) => {
    const meanSquare = g.mean(g.mul(x, x), -1, true);
    const r = g.reciprocal(g.sqrt(g.add(meanSquare, g.scalar(epsilon, x.dtype))));
    const normal = g.mul(x, r);
    const u = g.mul(dy, scale);
    const projection = g.mean(g.mul(u, normal), -1, true);
    return [g.mul(r, g.sub(u, g.mul(normal, projection))), g.sumTo(g.mul(dy, normal), scale)];
  },
  // A rotation: its transpose turns the other way.
  RotaryEmbedding: ({ g, dy, x: [, cos, sin, ids] }) => [
    g.op("RotaryEmbedding", [dy, cos, g.neg(sin), ids], {}),
    null,
    null,
    null,
  ],
  Shape: flat1,
  Size: flat1,
  ConstantOfShape: flat1,
  Range: () => [null, null, null],
  ArgMax: flat1,
  // Serving only: training graphs hold whole weights and spell attention out.
  TensorScatter: () => [null, null, null],
  Gemm: flat2,
  GatherND: flat2,
  MatMulNBits: () => [null, null, null, null],
  GroupQueryAttention: () => [null, null, null, null, null, null, null, null, null],
};

function isReal(x: Value): boolean {
  return x.dtype === "float32" || x.dtype === "float64" || x.dtype === "float16";
}

/** dy where the condition chose a, and where it chose b. */
function pick(g: Graph, dy: Value, choseA: Value, a: Value, b: Value): [Value, Value] {
  const zero = g.scalar(0, dy.dtype);
  return [g.sumTo(g.where(choseA, dy, zero), a), g.sumTo(g.where(choseA, zero, dy), b)];
}

/** Y = α·op(A)·op(B): dA = α·dY·op(B)ᵀ and dB = α·op(A)ᵀ·dY, each transposed where its operand was. */
function matmulGradient(
  g: Graph,
  dy: Value,
  a: Value,
  b: Value,
  { transA, transB, alpha }: Attributes<"FusedMatMul">,
): [Value, Value] {
  const da = transA
    ? g.matmul(b, dy, { transA: transB === 1, transB: true, alpha })
    : g.matmul(dy, b, { transB: transB === 0, alpha });
  const db = transB
    ? g.matmul(dy, a, { transA: true, transB: transA === 1, alpha })
    : g.matmul(a, dy, { transA: transA === 0, alpha });
  return [g.sumTo(da, a), g.sumTo(db, b)];
}

/** A reduced value with its axes of size 1 put back. */
function unreduce(
  g: Graph,
  y: Value,
  x: Value,
  { axes, keepdims }: Attributes<"ReduceSum">,
): Value {
  if (keepdims) return y;
  const reduced = new Set(axes.map((axis) => normalAxis(axis, x.shape.length)));
  return g.reshape(
    y,
    x.shape.map((dim, i) => (reduced.has(i) ? 1 : dim)),
  );
}

/** The transpose of a slice: zeros before and after. */
function padAround(
  g: Graph,
  dy: Value,
  x: Value,
  { axis, start, end }: Attributes<"Slice">,
): Value {
  const size = Number(x.shape[normalAxis(axis, x.shape.length)]);
  const zeros = (length: number) => g.zerosLike(g.slice(x, axis, 0, length));
  const parts = [
    ...(start > 0 ? [zeros(start)] : []),
    dy,
    ...(end < size ? [zeros(size - end)] : []),
  ];
  return parts.length === 1 ? dy : g.concat(parts, axis);
}

/**
 * A graph under construction: values and nodes in the order they were made, which therefore is a
 * topological order. One method per operator; `encode.ts` writes it as ONNX, `backward.ts` extends it.
 */
import { assert } from "../base/assert.ts";
import { type DType, dtypes, elementCount, type TypedArray } from "./dtype.ts";
import type { Attributes, Inputs, OpName } from "./ops.ts";
import {
  broadcast,
  type Dim,
  inferences,
  knownCount,
  normalAxis,
  type Shape,
  show,
  type TypedShape,
} from "./shapes.ts";

export interface Value extends TypedShape {
  readonly name: string;
}

export interface Node<K extends OpName = OpName> {
  readonly op: K;
  readonly inputs: Inputs<K>;
  readonly attributes: Attributes<K>;
  readonly outputs: readonly Value[];
}

/** A constant in the graph; `data` is null when the session is given the data under this name. */
export interface Initializer {
  readonly value: Value;
  readonly data: TypedArray | null;
}

type Axes = number | readonly number[];

export class Graph {
  readonly nodes: Node[] = [];
  readonly inputs: Value[] = [];
  readonly outputs: Value[] = [];
  readonly initializers: Initializer[] = [];
  #names = 0;
  /** Where each symbolic size can be read at run time. */
  readonly #symbols = new Map<string, { value: Value; axis: number }>();
  readonly #scalars = new Map<string, Value>();
  /** Names of values that `backward` takes for constants. */
  readonly constants = new Set<string>();

  /** A value fed at run time. Its symbolic sizes become known to the graph. */
  input(name: string, dtype: DType, shape: Shape): Value {
    const value = { name, dtype, shape };
    this.inputs.push(value);
    shape.forEach((dim, axis) => {
      if (typeof dim === "string" && !this.#symbols.has(dim))
        this.#symbols.set(dim, { value, axis });
    });
    return value;
  }

  /** Names a value and returns it to whoever runs the graph. */
  output(name: string, value: Value): Value {
    const named = { name, dtype: value.dtype, shape: value.shape };
    this.nodes.push({ op: "Identity", inputs: [value], attributes: {}, outputs: [named] });
    this.outputs.push(named);
    return named;
  }

  /** A weight that the session is given by name; shared between sessions, not copied into the model. */
  weight(name: string, dtype: DType, shape: readonly number[]): Value {
    const value = { name, dtype, shape };
    this.initializers.push({ value, data: null });
    return value;
  }

  constant(dtype: DType, shape: readonly number[], data: TypedArray): Value {
    assert(
      data.length === elementCount(shape),
      `${data.length} elements do not fill ${show(shape)}`,
    );
    const value = { name: this.#name("const"), dtype, shape };
    this.initializers.push({ value, data });
    return value;
  }

  /** One number; the same number and type give the same value. */
  scalar(number: number, dtype: DType = "float32"): Value {
    const key = `${dtype}:${number}`;
    const known = this.#scalars.get(key);
    if (known) return known;
    const isHalf = dtype === "float16" || dtype === "bfloat16";
    const made = isHalf
      ? this.cast(this.scalar(number), dtype)
      : this.constant(dtype, [], typed(dtype, [number]));
    this.#scalars.set(key, made);
    return made;
  }

  ints(numbers: readonly number[]): Value {
    return this.constant("int64", [numbers.length], typed("int64", numbers));
  }

  /** Any operator of the table; the methods below are its readable forms. */
  op<K extends OpName>(op: K, inputs: Inputs<K>, attributes: Attributes<K>): Value {
    return this.ops(op, inputs, attributes)[0]!;
  }

  ops<K extends OpName>(op: K, inputs: Inputs<K>, attributes: Attributes<K>): readonly Value[] {
    const outputs = inferences[op](inputs, attributes).map(({ dtype, shape }) => ({
      name: this.#name(op),
      dtype,
      shape,
    }));
    this.nodes.push({ op, inputs, attributes, outputs } as Node); // the pair (op, inputs) was checked above
    return outputs;
  }

  add = (a: Value, b: Value) => this.op("Add", [a, b], {});
  sub = (a: Value, b: Value) => this.op("Sub", [a, b], {});
  mul = (a: Value, b: Value) => this.op("Mul", [a, b], {});
  div = (a: Value, b: Value) => this.op("Div", [a, b], {});
  max = (a: Value, b: Value) => this.op("Max", [a, b], {});
  min = (a: Value, b: Value) => this.op("Min", [a, b], {});
  pow = (a: Value, b: Value) => this.op("Pow", [a, b], {});
  and = (a: Value, b: Value) => this.op("And", [a, b], {});
  less = (a: Value, b: Value) => this.op("Less", [a, b], {});
  lessOrEqual = (a: Value, b: Value) => this.op("LessOrEqual", [a, b], {});
  equal = (a: Value, b: Value) => this.op("Equal", [a, b], {});
  neg = (x: Value) => this.op("Neg", [x], {});
  abs = (x: Value) => this.op("Abs", [x], {});
  exp = (x: Value) => this.op("Exp", [x], {});
  log = (x: Value) => this.op("Log", [x], {});
  sqrt = (x: Value) => this.op("Sqrt", [x], {});
  reciprocal = (x: Value) => this.op("Reciprocal", [x], {});
  sin = (x: Value) => this.op("Sin", [x], {});
  cos = (x: Value) => this.op("Cos", [x], {});
  tanh = (x: Value) => this.op("Tanh", [x], {});
  sigmoid = (x: Value) => this.op("Sigmoid", [x], {});
  where = (condition: Value, a: Value, b: Value) => this.op("Where", [condition, a, b], {});
  softmax = (x: Value, axis = -1) => this.op("Softmax", [x], { axis });
  logSoftmax = (x: Value, axis = -1) => this.op("LogSoftmax", [x], { axis });
  gather = (x: Value, indices: Value, axis = 0) => this.op("Gather", [x, indices], { axis });
  gatherElements = (x: Value, indices: Value, axis = -1) =>
    this.op("GatherElements", [x, indices], { axis });
  concat = (xs: readonly Value[], axis: number) => this.op("Concat", xs, { axis });
  sum = (x: Value, axes?: Axes, keep = false) => this.op("ReduceSum", [x], reduce(x, axes, keep));
  mean = (x: Value, axes?: Axes, keep = false) => this.op("ReduceMean", [x], reduce(x, axes, keep));
  maximum = (x: Value, axes?: Axes, keep = false) =>
    this.op("ReduceMax", [x], reduce(x, axes, keep));
  logSumExp = (x: Value, axes?: Axes, keep = false) =>
    this.op("ReduceLogSumExp", [x], reduce(x, axes, keep));

  scale = (x: Value, factor: number) =>
    factor === 1 ? x : this.mul(x, this.scalar(factor, x.dtype));
  cast = (x: Value, to: DType) => (x.dtype === to ? x : this.op("Cast", [x], { to }));

  /** x, held constant: no gradient flows through it. */
  stopGradient(x: Value): Value {
    const held = this.op("Identity", [x], {});
    this.constants.add(held.name);
    return held;
  }

  /** ln(1 + eˣ), without overflow. The runtime's operator is float32 only: else max(x, 0) + ln(1 + e^−|x|). */
  softplus(x: Value): Value {
    if (x.dtype === "float32") return this.op("Softplus", [x], {});
    const [zero, one] = [this.scalar(0, x.dtype), this.scalar(1, x.dtype)];
    return this.add(this.max(x, zero), this.log(this.add(one, this.exp(this.neg(this.abs(x))))));
  }

  transpose(x: Value, perm: readonly number[]): Value {
    return this.op("Transpose", [x], { perm });
  }

  /** x[…, start:end, …] along one axis of known size. */
  slice(x: Value, axis: number, start: number, end: number): Value {
    return this.op("Slice", [x], { axis: normalAxis(axis, x.shape.length), start, end });
  }

  /** alpha · op(a) · op(b) over the last two axes, batches broadcast; op transposes where asked. */
  matmul(
    a: Value,
    b: Value,
    how: { transA?: boolean; transB?: boolean; alpha?: number } = {},
  ): Value {
    const { transA = false, transB = false, alpha = 1 } = how;
    if (!transA && !transB && alpha === 1) return this.op("MatMul", [a, b], {});
    if (a.dtype === "float32") {
      return this.op("FusedMatMul", [a, b], {
        transA: transA ? 1 : 0,
        transB: transB ? 1 : 0,
        alpha,
      });
    }
    const left = transA ? this.swapLast(a) : a;
    const right = transB ? this.swapLast(b) : b;
    return this.scale(this.op("MatMul", [left, right], {}), alpha);
  }

  swapLast(x: Value): Value {
    const perm = x.shape.map((_, i) => i);
    perm.push(...perm.splice(-2).reverse());
    return this.transpose(x, perm);
  }

  /** Sizes may be symbols of the graph's inputs; at most one other unknown size is worked out. */
  reshape(x: Value, shape: Shape): Value {
    const isKnown = (dim: Dim, i: number) => typeof dim === "number" || x.shape[i] === dim;
    const unknown = shape.filter((dim, i) => !isKnown(dim, i)).length;
    const target =
      unknown <= 1
        ? this.ints(
            shape.map((dim, i) => (typeof dim === "number" ? dim : isKnown(dim, i) ? 0 : -1)),
          )
        : this.#shapeTensor(shape);
    return this.op("Reshape", [x, target], { shape });
  }

  /** x in the shape of another value with the same number of elements. */
  reshapeLike(x: Value, like: Value): Value {
    return this.op("Reshape", [x, this.#shapeOf(like)], { shape: like.shape });
  }

  /** x repeated along its axes of size 1 to the shape of another value. */
  expandLike(x: Value, like: Value): Value {
    return this.op("Expand", [x, this.#shapeOf(like)], { shape: like.shape });
  }

  zerosLike(x: Value): Value {
    return this.op("ConstantOfShape", [this.#shapeOf(x)], {
      value: 0,
      dtype: x.dtype,
      shape: x.shape,
    });
  }

  /** Sums a broadcast result back to the shape it was broadcast from: broadcasting's transpose. */
  sumTo(x: Value, like: Value): Value {
    if (show(x.shape) === show(like.shape)) return x;
    const lead = x.shape.length - like.shape.length;
    assert(
      show(broadcast(x.shape, like.shape)) === show(x.shape),
      `${show(like.shape)} was not broadcast to ${show(x.shape)}`,
    );
    const stretched = like.shape.flatMap((dim, i) =>
      dim === 1 && x.shape[i + lead] !== 1 ? [i + lead] : [],
    );
    const kept = stretched.length ? this.sum(x, stretched, true) : x;
    return lead ? this.sum(kept, [...Array(lead).keys()]) : kept;
  }

  /** Number of elements of x over that of its reduction y, as a scalar of x's type. */
  reductionCount(x: Value, y: Value): Value {
    const [all, left] = [knownCount(x.shape), knownCount(y.shape)];
    if (all !== null && left !== null) return this.scalar(all / left, x.dtype);
    return this.cast(this.div(this.op("Size", [x], {}), this.op("Size", [y], {})), x.dtype);
  }

  #shapeOf(x: Value): Value {
    return x.shape.every((dim) => typeof dim === "number")
      ? this.ints(x.shape)
      : this.op("Shape", [x], {});
  }

  #shapeTensor(shape: Shape): Value {
    const unknown = shape.filter(
      (dim) => typeof dim === "string" && !this.#symbols.has(dim),
    ).length;
    assert(unknown <= 1, `the sizes ${show(shape)} cannot be worked out at run time`);
    return this.concat(
      shape.map((dim) => this.#dimTensor(dim)),
      0,
    );
  }

  #dimTensor(dim: Dim): Value {
    if (typeof dim === "number") return this.ints([dim]);
    const source = this.#symbols.get(dim);
    if (!source) return this.ints([-1]);
    return this.gather(this.op("Shape", [source.value], {}), this.ints([source.axis]));
  }

  #name(prefix: string): string {
    this.#names += 1;
    return `${prefix}_${this.#names}`;
  }
}

function reduce(x: Value, axes: Axes | undefined, keep: boolean): Attributes<"ReduceSum"> {
  const all =
    axes === undefined ? x.shape.map((_, i) => i) : typeof axes === "number" ? [axes] : axes;
  return { axes: all, keepdims: keep ? 1 : 0 };
}

function typed(dtype: DType, numbers: readonly number[]): TypedArray {
  if (dtype === "int64") return BigInt64Array.from(numbers, BigInt);
  assert(
    dtype !== "float16" && dtype !== "bfloat16",
    `constants in ${dtype} are cast from float32`,
  );
  const array = new dtypes[dtype].array(numbers.length);
  assert(
    !(array instanceof BigUint64Array) && !(array instanceof BigInt64Array),
    `no constants in ${dtype}`,
  );
  array.set(numbers);
  return array;
}

/** Graphs run on numbers: the inputs of a graph with what to feed them, and its values evaluated. */
import { type DType, dtypes, type TypedArray } from "../../src/onnx/dtype.ts";
import { encode } from "../../src/onnx/encode.ts";
import type { Graph, Value } from "../../src/onnx/graph.ts";
import type { Runtime, Session, Tensor } from "../../src/onnx/runtime/index.ts";
import type { Shape } from "../../src/onnx/shapes.ts";
import { type Nd, nd } from "./arrays.ts";

/** Numbers for an input; `declared` is its shape in the graph where that has symbols. */
export interface Feed extends Nd {
  readonly dtype: DType;
  readonly declared: Shape;
}

export const feed = (dtype: DType, numbers: Nd, declared: Shape = numbers.shape): Feed => ({
  ...numbers,
  dtype,
  declared,
});

/** A graph's inputs by name. */
export type Feeds = Readonly<Record<string, Feed>>;

/** Declares an input for every feed. */
export function inputs<F extends Feeds>(g: Graph, feeds: F): { readonly [K in keyof F]: Value } {
  const declared = Object.entries(feeds).map(
    ([name, { dtype, declared }]) => [name, g.input(name, dtype, declared)] as const,
  );
  return Object.fromEntries(declared) as { [K in keyof F]: Value }; // one per key of F
}

export function typedArray(dtype: DType, numbers: readonly number[]): TypedArray {
  const array = new dtypes[dtype].array(numbers.length);
  numbers.forEach((n, i) => {
    array[i] = array instanceof BigInt64Array || array instanceof BigUint64Array ? BigInt(n) : n;
  });
  return array;
}

export function tensors(runtime: Runtime, feeds: Feeds): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, { dtype, shape, data }]) => [
      name,
      runtime.tensor(dtype, shape, typedArray(dtype, data)),
    ]),
  );
}

/**
 * NOTE: ONNX Runtime's extended optimisations mistreat double precision: a fused x·σ(x) has no kernel,
 * and a scale that moves into a matrix product is rounded to single.
 */
export async function openGraph(runtime: Runtime, g: Graph): Promise<Session> {
  const isDouble = g.inputs.some(({ dtype }) => dtype === "float64");
  const graphOptimization = isDouble ? "basic" : "all";
  return runtime.session(encode(g), { threads: 1, spinning: false, graphOptimization });
}

/** An output as numbers, with its type. */
export interface Evaluated extends Nd {
  readonly dtype: DType;
}

/** Makes the values outputs of the graph under their keys, and runs it. */
export async function evaluate<K extends string>(
  runtime: Runtime,
  g: Graph,
  values: Readonly<Record<K, Value>>,
  feeds: Feeds,
): Promise<Record<K, Evaluated>> {
  const names = Object.keys(values) as K[]; // Object.keys is typed string[]
  for (const name of names) g.output(name, values[name]);
  const session = await openGraph(runtime, g);
  const given = tensors(runtime, feeds);
  try {
    const results = await session.evaluate(given, names);
    const entries = names.map((name) => {
      const { dtype, shape, data } = results[name]!;
      return [name, { dtype, ...nd(shape, Array.from(data, Number)) }] as const;
    });
    return Object.fromEntries(entries) as Record<K, Evaluated>; // one per name
  } finally {
    session.dispose();
    for (const tensor of Object.values(given)) tensor.dispose();
  }
}

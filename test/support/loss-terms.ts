/** A loss run on numbers, in double precision: its terms by name, as columns unless they are whole numbers or tables. */
import { Value as Json } from "typebox/value";
import { backward } from "../../src/onnx/backward.ts";
import { Graph, type Value } from "../../src/onnx/graph.ts";
import type { Runtime } from "../../src/onnx/runtime/index.ts";
import type { Loss, LossTerms } from "../../src/train/losses/define.ts";
import { type Nd, nd } from "./arrays.ts";
import { evaluate, feed, inputs } from "./graphs.ts";

export const column = (numbers: readonly number[]): Nd => nd([numbers.length], numbers);

interface AnyLoss {
  build(g: Graph, terms: unknown, options: unknown): LossTerms;
}

/** The loss, its metrics, and its gradient by each of the terms that `wanted` names. */
export async function runLoss(
  runtime: Runtime,
  loss: Loss,
  terms: Readonly<Record<string, Nd>>,
  wanted: readonly string[],
  options: Record<string, unknown> = {},
) {
  const feeds = Object.fromEntries(
    Object.entries(terms).map(([name, numbers]) => [name, feed("float64", numbers)]),
  );
  const g = new Graph();
  const values: Record<string, Value> = inputs(g, feeds);
  const anyLoss = loss as unknown as AnyLoss; // the caller gives its family's terms
  const built = anyLoss.build(g, values, Json.Default(loss.options, { ...options }));
  const slopes = backward(
    g,
    built.loss,
    wanted.map((name) => values[name]!),
  );
  const asked = Object.fromEntries(slopes.map((slope, i) => [`by ${wanted[i]}`, slope]));
  const results = await evaluate(
    runtime,
    g,
    { ...built.metrics, ...asked, loss: built.loss },
    feeds,
  );
  const numberOf = (name: string) => results[name as keyof typeof results]!.data[0]!; // one of the names given
  return {
    loss: results.loss.data[0]!,
    metrics: Object.fromEntries(Object.keys(built.metrics).map((name) => [name, numberOf(name)])),
    slopes: Object.fromEntries(
      wanted.map((name) => [name, results[`by ${name}` as keyof typeof results]!.data]),
    ),
  };
}

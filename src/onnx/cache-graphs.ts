/**
 * Moves of keys and values within a device's memory, as graphs: the device's buffers have no views, and no other way
 * leads from one to another. A place is [slot, head, token].
 */
import type { DType } from "./dtype.ts";
import { Graph, type Value } from "./graph.ts";

export interface CacheShape {
  readonly dtype: DType;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Of the tensors, keys and values of each layer. */
  readonly names: readonly string[];
}

/** `cache` with the slots `slots` [n] and of these the tokens `tokens` [m], both of which may repeat. */
export function resizeGraph(shape: CacheShape): Graph {
  const g = new Graph();
  const cache = cacheInput(g, shape, "cache");
  const slots = g.gather(cache, g.input("slots", "int64", ["n"]), 0);
  g.output("resized", g.gather(slots, g.input("tokens", "int64", ["m"]), 2));
  return g;
}

/** Rows [n, headDim] of each tensor at `places` [n, 3]. */
export function readGraph(shape: CacheShape): Graph {
  const g = new Graph();
  const places = g.input("places", "int64", ["n", 3]);
  for (const name of shape.names) {
    g.output(`rows_${name}`, g.op("GatherND", [cacheInput(g, shape, `past_${name}`), places], {}));
  }
  return g;
}

/** Each tensor with rows_… [n, headDim] at `places` [n, 3]; in place when past and present are the same memory. */
export function writeGraph(shape: CacheShape): Graph {
  const g = new Graph();
  const places = g.input("places", "int64", ["n", 3]);
  for (const name of shape.names) {
    const cache = cacheInput(g, shape, `past_${name}`);
    const rows = g.input(`rows_${name}`, shape.dtype, ["n", shape.headDim]);
    g.output(`present_${name}`, scattered(g, cache, places, rows));
  }
  return g;
}

/** Each tensor with its rows at `from` [n, 3] at `places` [n, 3] too; in place like `writeGraph`. */
export function copyGraph(shape: CacheShape): Graph {
  const g = new Graph();
  const from = g.input("from", "int64", ["n", 3]);
  const places = g.input("places", "int64", ["n", 3]);
  for (const name of shape.names) {
    const cache = cacheInput(g, shape, `past_${name}`);
    const rows = g.op("GatherND", [cache, from], {});
    g.output(`present_${name}`, scattered(g, cache, places, rows));
  }
  return g;
}

function cacheInput(g: Graph, { dtype, kvHeads, headDim }: CacheShape, name: string): Value {
  return g.input(name, dtype, ["slots", kvHeads, "capacity", headDim]);
}

function scattered(g: Graph, cache: Value, places: Value, rows: Value): Value {
  return g.op("ScatterND", [cache, places, rows], { reduction: "none" });
}

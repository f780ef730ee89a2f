/**
 * One new token for each of several rows that all go on from one prefix, whose keys and values are held once and read
 * once for all of them: candidates of one prompt, or alternative next tokens of one sequence.
 */
import { Graph, type Value } from "./graph.ts";
import { softcap } from "./layers.ts";
import { outputHead } from "./serving-graph.ts";
import { type ServingGraphOptions, servedWeights } from "./serving-weights.ts";
import {
  decoder,
  type Head,
  memoized,
  rotaryConstants,
  type TransformerConfig,
} from "./transformer.ts";

/**
 * Attention over prefix and own tokens apart, with m the larger of both maxima:
 *
 *     (e^(s₁ − m)·V₁ + e^(s₂ − m)·V₂) / (Σ e^(s₁ − m) + Σ e^(s₂ − m)),   s₁ = scale·q·K₁ᵀ, s₂ = scale·q·K₂ᵀ
 *
 * which is softmax over all of them. s₁ is one matrix product for all rows of a key-value head.
 *
 * Inputs: input_ids [batch, 1]; prefix_tokens [] int64, how many of the prefix's places are filled; prefix_places [prefix]
 * and own_places [capacity] int64, 0, 1, 2, …; own_tokens [batch] int64, how many of its own tokens a row has before this
 * step; rows [selected] int64, for logits temperature [selected, 1]; per layer prefix_key, prefix_value
 * [kvHeads, prefix, headDim] and past_key, past_value [batch, kvHeads, capacity, headDim], updated in place when bound
 * to the same memory as present.
 * Outputs: those of `servingGraph`.
 * Source of the split: Juravsky et al., arXiv:2402.05099 (Hydragen).
 */
export function sharedPrefixGraph(
  config: TransformerConfig,
  head: Head,
  options: ServingGraphOptions = {},
): Graph {
  const g = new Graph();
  const { heads, kvHeads, headDim } = config;
  const ids = g.reshape(g.input("input_ids", "int64", ["batch", 1]), ["batch"]);
  const selected = g.input("rows", "int64", ["selected"]);
  const places = inputPlaces(g, config);
  const weights = servedWeights(g, options);
  const tables = rotaryConstants(g, config);
  const hidden = decoder(g, config, weights, ids, (layer, kind, q, k, v) => {
    const split = (x: Value, n: number) => g.reshape(x, ["batch", n, 1, headDim]);
    const rotated = (x: Value) => {
      if (!kind.rotary) return x;
      const { cos, sin } = tables(kind.rotary);
      return g.op("RotaryEmbedding", [x, cos, sin, places.position], {});
    };
    const appended = (name: string, x: Value) => {
      const past = g.input(`past_${name}_${layer}`, "float32", [
        "batch",
        kvHeads,
        "capacity",
        headDim,
      ]);
      const present = g.op("TensorScatter", [past, x, places.own], { axis: -2 });
      return g.output(`present_${name}_${layer}`, present);
    };
    const shared = (name: string) =>
      g.input(`prefix_${name}_${layer}`, "float32", [kvHeads, "prefix", headDim]);
    return mixed(g, config, places.visible(kind.window), {
      query: rotated(split(q, heads)),
      prefix: { keys: shared("key"), values: shared("value") },
      own: {
        keys: appended("key", rotated(split(k, kvHeads))),
        values: appended("value", split(v, kvHeads)),
      },
    });
  });
  outputHead(g, config, weights, head, g.gather(hidden, selected));
  return g;
}

interface Visible {
  /** Additive masks: [prefix] or [rows of a head, prefix], and [batch, 1, 1, capacity]. */
  readonly prefix: Value;
  readonly own: Value;
}

/** Where each row is, and what it sees from there. */
function inputPlaces(g: Graph, { heads, kvHeads }: TransformerConfig) {
  const prefixTokens = g.input("prefix_tokens", "int64", []);
  const prefixPlaces = g.input("prefix_places", "int64", ["prefix"]);
  const ownPlaces = g.input("own_places", "int64", ["capacity"]);
  const own = g.input("own_tokens", "int64", ["batch"]);
  const column = g.reshape(own, ["batch", 1]);
  const position = g.add(column, prefixTokens);
  const isPrefix = g.less(prefixPlaces, prefixTokens);
  const isOwn = g.lessOrEqual(ownPlaces, column);
  /** [batch, n], whether what lies `back` tokens before the row is within its window. */
  const within = (back: Value, window: number) => g.less(back, g.scalar(window, "int64"));
  const mask = (isSeen: Value) => g.where(isSeen, g.scalar(0), g.scalar(-1e9)); // finite: a row sees itself at least
  const ownMask = (isSeen: Value) => g.reshape(mask(isSeen), ["batch", 1, 1, "capacity"]);
  const perQuery = g.constant("float32", [heads / kvHeads, 1], new Float32Array(heads / kvHeads));
  const visible = memoized((window: number | null): Visible => {
    if (window === null) return { prefix: mask(isPrefix), own: ownMask(isOwn) };
    const near = g.and(isPrefix, within(g.sub(position, prefixPlaces), window));
    const masked = g.add(g.reshape(mask(near), ["batch", 1, "prefix"]), perQuery);
    return {
      prefix: g.reshape(masked, ["rows_of_head", "prefix"]),
      own: ownMask(g.and(isOwn, within(g.sub(column, ownPlaces), window))),
    };
  });
  return { own, position, visible };
}

interface Part {
  readonly keys: Value;
  readonly values: Value;
}

/** @returns [batch, heads·headDim] */
function mixed(
  g: Graph,
  config: TransformerConfig,
  visible: Visible,
  { query, prefix, own }: { query: Value; prefix: Part; own: Part },
): Value {
  const { heads, kvHeads, headDim, attentionScale: alpha, attentionSoftcap } = config;
  const group = heads / kvHeads;
  const byRow = g.reshape(query, ["batch", kvHeads, group, headDim]);
  /** [batch, kvHeads, group, n] ↔ [kvHeads, batch·group, n] */
  const byHead = (x: Value, n: number | string) =>
    g.reshape(g.transpose(x, [1, 0, 2, 3]), [kvHeads, "rows_of_head", n]);
  const backByRow = (x: Value, n: number) =>
    g.transpose(g.reshape(x, [kvHeads, "batch", group, n]), [1, 0, 2, 3]);
  const scores = (q: Value, keys: Value, mask: Value) =>
    g.add(softcap(g, g.matmul(q, keys, { transB: true, alpha }), attentionSoftcap), mask);
  const onPrefix = scores(byHead(byRow, headDim), prefix.keys, visible.prefix);
  const onOwn = scores(byRow, own.keys, visible.own);
  const prefixMax = backByRow(g.maximum(onPrefix, -1, true), 1);
  const most = g.max(prefixMax, g.maximum(onOwn, -1, true));
  const prefixWeights = g.exp(g.sub(onPrefix, byHead(most, 1)));
  const ownWeights = g.exp(g.sub(onOwn, most));
  const sum = g.add(backByRow(g.sum(prefixWeights, -1, true), 1), g.sum(ownWeights, -1, true));
  const values = g.add(
    backByRow(g.matmul(prefixWeights, prefix.values), headDim),
    g.matmul(ownWeights, own.values),
  );
  return g.reshape(g.div(values, sum), ["batch", heads * headDim]);
}

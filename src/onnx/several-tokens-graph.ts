/**
 * Several new tokens for each of several rows, which may all go on from one prefix whose keys and values are held once
 * and read once for all of them. For candidates of one prompt, for drafts that are to be verified, and for alternative
 * next tokens of sequences. A row's numbers depend neither on the other rows nor on how many tokens run at once, those of
 * an alternative to rounding on how many others lie before it.
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

export interface SeveralTokensOptions extends ServingGraphOptions {
  /** Whether all rows go on from one prefix. */
  readonly hasPrefix: boolean;
  /** Whether a row's new tokens are alternatives, none of which sees another. */
  readonly hasAlternatives?: boolean;
}

/**
 * Attention over prefix and own tokens apart, with m the larger of both maxima:
 *
 *     (e^(s₁ − m)·V₁ + e^(s₂ − m)·V₂) / (Σ e^(s₁ − m) + Σ e^(s₂ − m)),   s₁ = scale·q·K₁ᵀ, s₂ = scale·q·K₂ᵀ
 *
 * which is softmax over all of them. s₁ is one matrix product for all rows of a key-value head.
 *
 * Inputs: input_ids [batch, tokens]; own_tokens [batch] int64, how many of its own tokens a row has before this step;
 * own_places [capacity] and new_places [tokens] int64, 0, 1, 2, …; rows [selected] int64, which of the batch·tokens rows
 * reach the head; for logits temperature [selected, 1]; per layer past_key, past_value [batch, kvHeads, capacity,
 * headDim], updated in place when bound to the same memory as present. With a prefix: prefix_tokens [] int64, how many
 * of its places are filled; prefix_places [prefix] int64; per layer prefix_key, prefix_value [kvHeads, prefix, headDim].
 * With alternatives: begins [batch, tokens] int64, at which of the new tokens the alternative of each one begins; an
 * alternative's tokens lie one after the other, see each other and what the row had before, and are placed right after it.
 * Outputs: those of `servingGraph`.
 * Source of the split: Juravsky et al., arXiv:2402.05099 (Hydragen).
 */
export function severalTokensGraph(
  config: TransformerConfig,
  head: Head,
  options: SeveralTokensOptions,
): Graph {
  const g = new Graph();
  const { heads, kvHeads, headDim } = config;
  const ids = g.reshape(g.input("input_ids", "int64", ["batch", "tokens"]), ["rows_all"]);
  const selected = g.input("rows", "int64", ["selected"]);
  const places = inputPlaces(g, config, options);
  const weights = servedWeights(g, options);
  const tables = rotaryConstants(g, config);
  const hidden = decoder(g, config, weights, ids, (layer, kind, q, k, v) => {
    /** [batch, n, tokens, headDim] */
    const byHead = (x: Value, n: number) =>
      g.transpose(g.reshape(x, ["batch", "tokens", n, headDim]), [0, 2, 1, 3]);
    const rotated = (x: Value) => {
      if (!kind.rotary) return x;
      const { cos, sin } = tables(kind.rotary);
      return g.op("RotaryEmbedding", [x, cos, sin, places.position], {});
    };
    const appended = (name: string, x: Value) => {
      const shape = ["batch", kvHeads, "capacity", headDim];
      const past = g.input(`past_${name}_${layer}`, "float32", shape);
      const present = g.op("TensorScatter", [past, x, places.own], { axis: -2 });
      return g.output(`present_${name}_${layer}`, present);
    };
    const shared = (name: string) =>
      g.input(`prefix_${name}_${layer}`, "float32", [kvHeads, "prefix", headDim]);
    return mixed(g, config, places.visible(kind.window), {
      query: rotated(byHead(q, heads)),
      prefix: options.hasPrefix ? { keys: shared("key"), values: shared("value") } : null,
      own: {
        keys: appended("key", rotated(byHead(k, kvHeads))),
        values: appended("value", byHead(v, kvHeads)),
      },
    });
  });
  outputHead(g, config, weights, head, g.gather(hidden, selected));
  return g;
}

/** Additive masks. */
interface Visible {
  /** [prefix] or [rows of a head, prefix] */
  readonly prefix: Value | null;
  /** [batch, 1, group·tokens, capacity] */
  readonly own: Value;
}

/** Where each new token is, and what it sees from there. */
function inputPlaces(
  g: Graph,
  config: TransformerConfig,
  { hasPrefix, hasAlternatives = false }: SeveralTokensOptions,
) {
  const group = config.heads / config.kvHeads;
  const own = g.input("own_tokens", "int64", ["batch"]);
  const ownPlaces = g.input("own_places", "int64", ["capacity"]);
  const newPlaces = g.input("new_places", "int64", ["tokens"]);
  const prefixTokens = hasPrefix ? g.input("prefix_tokens", "int64", []) : null;
  const prefixPlaces = hasPrefix ? g.input("prefix_places", "int64", ["prefix"]) : null;
  const before = g.reshape(own, ["batch", 1]);
  const place = g.add(before, newPlaces); // [batch, tokens], among the row's own
  const begins = hasAlternatives ? g.input("begins", "int64", ["batch", "tokens"]) : null;
  const depth = begins ? g.sub(place, begins) : place; // the same without other alternatives
  const position = prefixTokens ? g.add(depth, prefixTokens) : depth;
  const last = g.scalar(config.contextTokens - 1, "int64");
  /** [batch, tokens] → [batch, tokens, 1], beside places */
  const column = (x: Value) => g.reshape(x, ["batch", "tokens", 1]);
  const within = (back: Value, window: number) => g.less(back, g.scalar(window, "int64"));
  const mask = (isSeen: Value) => g.where(isSeen, g.scalar(0), g.scalar(-1e9)); // finite: a row sees itself at least
  /** [batch, tokens, n] → the same for each query head of a key-value head, [batch, group, tokens, n] */
  const perQuery = (x: Value, n: string) => {
    const zeros = g.constant("float32", [group, 1, 1], new Float32Array(group));
    return g.add(g.reshape(x, ["batch", 1, "tokens", n]), zeros);
  };
  const isOwn = g.lessOrEqual(ownPlaces, column(place));
  const isPast = g.less(ownPlaces, g.reshape(own, ["batch", 1, 1]));
  const visible = memoized((window: number | null): Visible => {
    const near = (at: Value, places: Value) => within(g.sub(column(at), places), window!);
    const seen = (isThere: Value, at: Value) =>
      window === null ? isThere : g.and(isThere, near(at, ownPlaces));
    const onNew = begins
      ? mask(seen(g.and(isOwn, g.lessOrEqual(column(g.add(before, begins)), ownPlaces)), place))
      : mask(seen(isOwn, place));
    const own = begins ? g.where(seen(isPast, depth), g.scalar(0), onNew) : onNew;
    const onOwn = perQuery(own, "capacity");
    const visibleOwn = g.reshape(onOwn, ["batch", 1, "queries", "capacity"]);
    if (!prefixPlaces || !prefixTokens) return { prefix: null, own: visibleOwn };
    const isPrefix = g.less(prefixPlaces, prefixTokens);
    if (window === null) return { prefix: mask(isPrefix), own: visibleOwn };
    const onPrefix = perQuery(mask(g.and(isPrefix, near(position, prefixPlaces))), "prefix");
    return { prefix: g.reshape(onPrefix, ["rows_of_head", "prefix"]), own: visibleOwn };
  });
  return { own, position: g.min(position, last), visible }; // beyond the context there is nothing but padding
}

interface Part {
  readonly keys: Value;
  readonly values: Value;
}

interface Parts {
  /** [batch, heads, tokens, headDim] */
  readonly query: Value;
  readonly prefix: Part | null;
  readonly own: Part;
}

/** @returns [batch·tokens, heads·headDim] */
function mixed(
  g: Graph,
  config: TransformerConfig,
  visible: Visible,
  { query, prefix, own }: Parts,
): Value {
  const { heads, kvHeads, headDim, attentionScale: alpha, attentionSoftcap } = config;
  const group = heads / kvHeads;
  const byRow = g.reshape(query, ["batch", kvHeads, "queries", headDim]);
  const scores = (q: Value, keys: Value, mask: Value) =>
    g.add(softcap(g, g.matmul(q, keys, { transB: true, alpha }), attentionSoftcap), mask);
  const onOwn = scores(byRow, own.keys, visible.own);
  const inOrder = (x: Value) =>
    g.reshape(
      g.transpose(g.reshape(x, ["batch", kvHeads, group, "tokens", headDim]), [0, 3, 1, 2, 4]),
      ["rows_all", heads * headDim],
    );
  if (!prefix || !visible.prefix) return inOrder(g.matmul(g.softmax(onOwn), own.values));
  /** [batch, kvHeads, queries, n] ↔ [kvHeads, batch·queries, n] */
  const together = (x: Value, n: number) =>
    g.reshape(g.transpose(x, [1, 0, 2, 3]), [kvHeads, "rows_of_head", n]);
  const apart = (x: Value, n: number) =>
    g.transpose(g.reshape(x, [kvHeads, "batch", "queries", n]), [1, 0, 2, 3]);
  const onPrefix = scores(together(byRow, headDim), prefix.keys, visible.prefix);
  const most = g.max(apart(g.maximum(onPrefix, -1, true), 1), g.maximum(onOwn, -1, true));
  const prefixWeights = g.exp(g.sub(onPrefix, together(most, 1)));
  const ownWeights = g.exp(g.sub(onOwn, most));
  const sum = g.add(apart(g.sum(prefixWeights, -1, true), 1), g.sum(ownWeights, -1, true));
  const values = g.add(
    apart(g.matmul(prefixWeights, prefix.values), headDim),
    g.matmul(ownWeights, own.values),
  );
  return inOrder(g.div(values, sum));
}

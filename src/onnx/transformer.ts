/**
 * One builder of Llama-style decoders for every use: serving (`serving-graph.ts`), scoring and training
 * share `decoder` and differ only in how weights enter and how attention is computed.
 */
import type { DType } from "./dtype.ts";
import { Graph, type Value } from "./graph.ts";
import {
  type Activation,
  gated,
  groupedAttention,
  linear,
  rmsNorm,
  segmentMask,
  softcap,
} from "./layers.ts";
import { type Rotary, rotaryTables } from "./rotary.ts";

/** What the families of `checkpoints/families.ts` differ in. */
export interface TransformerConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  /** A multiple of `kvHeads`: each key-value head serves heads / kvHeads query heads. */
  readonly heads: number;
  readonly kvHeads: number;
  /** heads × headDim need not be hiddenSize. */
  readonly headDim: number;
  readonly contextTokens: number;
  /** The output matrix is the embedding matrix. */
  readonly tieEmbeddings: boolean;
  /** ε of RMSNorm: x / √(mean(x²) + ε). */
  readonly normEpsilon: number;
  /** A norm multiplies by 1 + weight instead of weight. */
  readonly unitOffsetNorms: boolean;
  /** What attention and the feed-forward block give is normed, too, before it is added. */
  readonly postNorms: boolean;
  /** Each head's query and key are normed before they are rotated. */
  readonly headNorms: boolean;
  /** Biases of the query, key and value projections. */
  readonly qkvBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  readonly activation: Activation;
  readonly embeddingScale: number;
  /** What q·k is multiplied by. */
  readonly attentionScale: number;
  readonly attentionSoftcap: number | null;
  readonly logitSoftcap: number | null;
  /** Layer i attends as attention[i mod its length] says. */
  readonly attention: readonly AttentionKind[];
  /** Scores of a token, should the head be asked for scores. */
  readonly labels: number;
  readonly scoreHead: ScoreHead;
}

export interface AttentionKind {
  /** How many tokens one sees, itself included; null: all before it. */
  readonly window: number | null;
  /** null: positions are not told. */
  readonly rotary: Rotary | null;
}

/** W·x, W·x + b, or W₂·max(W₁·x + b₁, 0) + b₂ with as many hidden numbers as the model has. */
export type ScoreHead = "linear" | "biased" | "two-layer";

/** logits: of the next token; scores: `labels` numbers per token (`score.weight`: a reward, a value, a class). */
export type Head = "logits" | "scores";

/** Gives the weight of a Hugging Face name; decides whether it is an input or shared by the session. */
export type WeightSource = (name: string, shape: readonly number[]) => Value;

export interface MatrixName {
  readonly name: string;
  readonly outputs: number;
}

export interface Weights {
  readonly tensor: WeightSource;
  /** x·Wᵀ with the matrix `${name}.weight`, [outputs, inputs], however it is held. */
  readonly product: (x: Value, name: string, outputs: number) => Value;
  /** The same for several matrices, which may be held as one. */
  readonly products: (x: Value, matrices: readonly MatrixName[]) => readonly Value[];
  /** x·Wᵀ of whole matrices, [rows, in] and [out, in]. */
  readonly times: (x: Value, matrix: Value) => Value;
}

export function wholeWeights(
  g: Graph,
  tensor: WeightSource,
  times: Weights["times"] = (x, matrix) => linear(g, x, matrix),
): Weights {
  const product: Weights["product"] = (x, name, outputs) =>
    times(x, tensor(`${name}.weight`, [outputs, Number(x.shape[1])]));
  const products: Weights["products"] = (x, matrices) =>
    matrices.map(({ name, outputs }) => product(x, name, outputs));
  return { tensor, product, products, times };
}

/** q [rows, heads·headDim], k and v [rows, kvHeads·headDim], not rotated → [rows, heads·headDim]. */
type Attention = (layer: number, kind: AttentionKind, q: Value, k: Value, v: Value) => Value;

/**
 * Token ids → final hidden states after the last norm.
 * @param ids [rows] int64 @returns [rows, hiddenSize]
 */
export function decoder(
  g: Graph,
  config: TransformerConfig,
  { tensor: weight, products }: Weights,
  ids: Value,
  attention: Attention,
): Value {
  const { hiddenSize: d, intermediateSize: inner, heads, kvHeads, headDim } = config;
  const { qkvBias, outputBias, mlpBias, headNorms, postNorms, activation } = config;
  const norm = (name: string, from: Value, size = d) => {
    const scale = weight(`${name}.weight`, [size]);
    const offset = config.unitOffsetNorms ? g.add(scale, g.scalar(1, scale.dtype)) : scale;
    return rmsNorm(g, from, offset, config.normEpsilon);
  };
  const project = (from: Value, matrices: readonly MatrixName[], hasBias: boolean) =>
    products(from, matrices).map((y, i) => {
      const { name, outputs } = matrices[i]!;
      return hasBias ? g.add(y, weight(`${name}.bias`, [outputs])) : y;
    });
  const embeddings = weight("model.embed_tokens.weight", [config.vocabSize, d]);
  let x = g.scale(g.gather(embeddings, ids), config.embeddingScale);
  for (let layer = 0; layer < config.layers; layer++) {
    const at = (name: string) => `model.layers.${layer}.${name}`;
    const perHead = (name: string, from: Value, n: number) => {
      if (!headNorms) return from;
      const split = g.reshape(from, ["rows_heads", headDim]);
      return g.reshape(norm(at(name), split, headDim), [from.shape[0]!, n * headDim]);
    };
    const normed = norm(at("input_layernorm"), x);
    const [q, k, v] = project(
      normed,
      [
        { name: at("self_attn.q_proj"), outputs: heads * headDim },
        { name: at("self_attn.k_proj"), outputs: kvHeads * headDim },
        { name: at("self_attn.v_proj"), outputs: kvHeads * headDim },
      ],
      qkvBias,
    );
    const mixed = attention(
      layer,
      config.attention[layer % config.attention.length]!,
      perHead("self_attn.q_norm", q!, heads),
      perHead("self_attn.k_norm", k!, kvHeads),
      v!,
    );
    const [attended] = project(mixed, [{ name: at("self_attn.o_proj"), outputs: d }], outputBias);
    x = g.add(x, postNorms ? norm(at("post_attention_layernorm"), attended!) : attended!);
    const before = postNorms ? "pre_feedforward_layernorm" : "post_attention_layernorm";
    const inside = norm(at(before), x);
    const [gate, up] = project(
      inside,
      [
        { name: at("mlp.gate_proj"), outputs: inner },
        { name: at("mlp.up_proj"), outputs: inner },
      ],
      mlpBias,
    );
    const opened = gated(g, activation, gate!, up!);
    const [fed] = project(opened, [{ name: at("mlp.down_proj"), outputs: d }], mlpBias);
    x = g.add(x, postNorms ? norm(at("post_feedforward_layernorm"), fed!) : fed!);
  }
  return norm("model.norm", x);
}

/** Hidden rows [n, hiddenSize] → logits [n, vocabSize], or scores [n, labels]. */
export function applyHead(
  g: Graph,
  config: TransformerConfig,
  weight: WeightSource,
  head: Head,
  hidden: Value,
): Value {
  return headOver(g, config, wholeWeights(g, weight), head, hidden);
}

export function headOver(
  g: Graph,
  config: TransformerConfig,
  { tensor, product, times }: Weights,
  head: Head,
  hidden: Value,
): Value {
  if (head === "scores") {
    const { labels, scoreHead, hiddenSize: d } = config;
    const layer = (name: string, x: Value, outputs: number, hasBias = true) => {
      const y = times(x, tensor(`${name}.weight`, [outputs, d]));
      return hasBias ? g.add(y, tensor(`${name}.bias`, [outputs])) : y;
    };
    if (scoreHead !== "two-layer") return layer("score", hidden, labels, scoreHead === "biased");
    const inner = g.max(layer("score.0", hidden, d), g.scalar(0, hidden.dtype));
    return layer("score.2", inner, labels);
  }
  const name = config.tieEmbeddings ? "model.embed_tokens" : "lm_head";
  return softcap(g, product(hidden, name, config.vocabSize), config.logitSoftcap);
}

/** Every weight that the model reads → its shape, in order of use. */
export function transformerWeights(
  config: TransformerConfig,
  head: Head,
): Map<string, readonly number[]> {
  const g = new Graph();
  const shapes = new Map<string, readonly number[]>();
  const weight: WeightSource = (name, shape) => {
    shapes.set(name, shape);
    return { name, dtype: "float32", shape };
  };
  const ids = g.input("input_ids", "int64", ["rows"]);
  const whole = wholeWeights(g, weight);
  const hidden = decoder(g, config, whole, ids, (_layer, _kind, q) => q); // no weights in attention
  applyHead(g, config, weight, head, hidden);
  return shapes;
}

export interface PackedTokens {
  /** [batch, tokens] int64 each. A row may hold several sequences: one segment number per sequence. */
  readonly ids: Value;
  readonly positions: Value;
  readonly segments: Value;
}

/** Inputs of a packed batch, with symbolic sizes. */
export function packedInputs(g: Graph): PackedTokens {
  const shape = ["batch", "tokens"];
  return {
    ids: g.input("input_ids", "int64", shape),
    positions: g.input("position_ids", "int64", shape),
    segments: g.input("segment_ids", "int64", shape),
  };
}

/**
 * The differentiable forward pass over packed sequences.
 * @returns [batch·tokens, hiddenSize]
 */
export function packedForward(
  g: Graph,
  config: TransformerConfig,
  weights: Weights,
  packed: PackedTokens,
): Value {
  const [batch, tokens] = [packed.ids.shape[0]!, packed.ids.shape[1]!];
  const { heads, kvHeads, headDim } = config;
  const tables = rotaryConstants(g, config);
  const mask = memoized((window: number | null) =>
    segmentMask(g, packed.segments, packed.positions, window),
  );
  const rotate = (x: Value, n: number, rotary: Rotary | null) => {
    if (!rotary) return g.reshape(x, [batch, tokens, n, headDim]);
    const { cos, sin } = tables(rotary);
    const byHead = g.transpose(g.reshape(x, [batch, tokens, n, headDim]), [0, 2, 1, 3]);
    return g.transpose(
      g.op("RotaryEmbedding", [byHead, cos, sin, packed.positions], {}),
      [0, 2, 1, 3],
    );
  };
  const ids = g.reshape(packed.ids, ["rows"]);
  return decoder(g, config, weights, ids, (_, { window, rotary }, q, k, v) => {
    const mixed = groupedAttention(
      g,
      rotate(q, heads, rotary),
      rotate(k, kvHeads, rotary),
      g.reshape(v, [batch, tokens, kvHeads, headDim]),
      mask(window),
      config,
    );
    return g.reshape(mixed, ["rows", heads * headDim]);
  });
}

/** Every weight once, given to the session by name. */
export function sharedWeights(g: Graph, dtype: DType = "float32"): WeightSource {
  const known = new Map<string, Value>();
  return (name, shape) => {
    const value = known.get(name) ?? g.weight(name, dtype, shape);
    known.set(name, value);
    return value;
  };
}

/** Tokens of a packed row are a multiple of it, which may be more than the context. */
export const ROW_MULTIPLE = 16;

/** The tables of each rotary, once, as long as the longest row: the operator refuses rows that are longer. */
export function rotaryConstants(g: Graph, { contextTokens, headDim }: TransformerConfig) {
  const places = Math.ceil(contextTokens / ROW_MULTIPLE) * ROW_MULTIPLE;
  const shape = [places, headDim / 2];
  const made = memoized((description: string) => {
    const rotary: Rotary = JSON.parse(description);
    const { cos, sin } = rotaryTables(places, headDim, rotary);
    return { cos: g.constant("float32", shape, cos), sin: g.constant("float32", shape, sin) };
  });
  return (rotary: Rotary) => made(JSON.stringify(rotary));
}

export function memoized<K, V>(make: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    const value = known.get(key) ?? make(key);
    known.set(key, value);
    return value;
  };
}

/**
 * One builder of Llama-style decoders for every use: serving (cache in place), scoring and training
 * share `decoder` and differ only in how weights enter and how attention is computed.
 */
import { assert } from "../base/assert.ts";
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
  /** Rows of `score.weight`, should the head be asked for scores. */
  readonly labels: number;
  readonly scoreBias: boolean;
}

export interface AttentionKind {
  /** How many tokens one sees, itself included; null: all before it. */
  readonly window: number | null;
  /** null: positions are not told. */
  readonly rotary: Rotary | null;
}

/** logits: of the next token; scores: `labels` numbers per token (`score.weight`: a reward, a value, a class). */
export type Head = "logits" | "scores";

/** Gives the weight of a Hugging Face name; decides whether it is an input or shared by the session. */
export type WeightSource = (name: string, shape: readonly number[]) => Value;

/** q [rows, heads·headDim], k and v [rows, kvHeads·headDim], not rotated → [rows, heads·headDim]. */
type Attention = (layer: number, kind: AttentionKind, q: Value, k: Value, v: Value) => Value;

/**
 * Token ids → final hidden states after the last norm.
 * @param ids [rows] int64 @returns [rows, hiddenSize]
 */
function decoder(
  g: Graph,
  config: TransformerConfig,
  weight: WeightSource,
  ids: Value,
  attention: Attention,
): Value {
  const { hiddenSize: d, intermediateSize: inner, heads, kvHeads, headDim } = config;
  const { qkvBias, outputBias, mlpBias, headNorms, postNorms, activation } = config;
  const norm = (name: string, from: Value, size = d) => {
    const scale = weight(`${name}.weight`, [size]);
    const offset = config.unitOffsetNorms ? g.add(scale, g.scalar(1)) : scale;
    return rmsNorm(g, from, offset, config.normEpsilon);
  };
  const project = (name: string, from: Value, outputs: number, hasBias: boolean) => {
    const matrix = weight(`${name}.weight`, [outputs, Number(from.shape[1])]);
    return linear(g, from, matrix, hasBias ? weight(`${name}.bias`, [outputs]) : null);
  };
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
    const q = project(at("self_attn.q_proj"), normed, heads * headDim, qkvBias);
    const k = project(at("self_attn.k_proj"), normed, kvHeads * headDim, qkvBias);
    const v = project(at("self_attn.v_proj"), normed, kvHeads * headDim, qkvBias);
    const mixed = attention(
      layer,
      config.attention[layer % config.attention.length]!,
      perHead("self_attn.q_norm", q, heads),
      perHead("self_attn.k_norm", k, kvHeads),
      v,
    );
    const attended = project(at("self_attn.o_proj"), mixed, d, outputBias);
    x = g.add(x, postNorms ? norm(at("post_attention_layernorm"), attended) : attended);
    const before = postNorms ? "pre_feedforward_layernorm" : "post_attention_layernorm";
    const inside = norm(at(before), x);
    const gate = project(at("mlp.gate_proj"), inside, inner, mlpBias);
    const up = project(at("mlp.up_proj"), inside, inner, mlpBias);
    const fed = project(at("mlp.down_proj"), gated(g, activation, gate, up), d, mlpBias);
    x = g.add(x, postNorms ? norm(at("post_feedforward_layernorm"), fed) : fed);
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
  if (head === "scores") {
    const { labels, scoreBias, hiddenSize } = config;
    const bias = scoreBias ? weight("score.bias", [labels]) : null;
    return linear(g, hidden, weight("score.weight", [labels, hiddenSize]), bias);
  }
  const name = config.tieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  const logits = linear(g, hidden, weight(name, [config.vocabSize, config.hiddenSize]));
  return softcap(g, logits, config.logitSoftcap);
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
  const hidden = decoder(g, config, weight, ids, (_layer, _kind, q) => q); // no weights in attention
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
  weight: WeightSource,
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
  return decoder(
    g,
    config,
    weight,
    g.reshape(packed.ids, ["rows"]),
    (_, { window, rotary }, q, k, v) => {
      const mixed = groupedAttention(
        g,
        rotate(q, heads, rotary),
        rotate(k, kvHeads, rotary),
        g.reshape(v, [batch, tokens, kvHeads, headDim]),
        mask(window),
        config,
      );
      return g.reshape(mixed, ["rows", heads * headDim]);
    },
  );
}

/** The runtime's cached attention takes multiples of this many numbers a head. */
export const HEAD_MULTIPLE = 16;
export const isServableHead = (headDim: number) => headDim % HEAD_MULTIPLE === 0;

/**
 * The serving graph: a batch of sequences, each with its slot of the cache, which is updated in place
 * when past and present are bound to the same memory. One new token for many sequences, or several
 * new tokens for one.
 *
 * Inputs: input_ids [batch, tokens]; lengths [batch] int32, tokens in the cache after this step less
 * one; total int32, the longest of them; rows [selected] int64, which of the batch·tokens rows reach
 * the head; for logits, temperature [selected, 1] float32.
 * Outputs: logits [selected, vocab], log_sum_exp [selected], cdf [selected, vocab] = Σ softmax(logits/T);
 * or scores [selected, labels]; present keys and values [batch, kvHeads, capacity, headDim].
 */
export function servingGraph(config: TransformerConfig, head: Head): Graph {
  const g = new Graph();
  const { heads, kvHeads, headDim } = config;
  assert(heads % kvHeads === 0, `${heads} heads cannot share ${kvHeads} key-value heads`);
  assert(isServableHead(headDim), `head size ${headDim} is not a multiple of ${HEAD_MULTIPLE}`);
  const ids = g.input("input_ids", "int64", ["batch", "tokens"]);
  const lengths = g.input("lengths", "int32", ["batch"]);
  const total = g.input("total", "int32", []);
  const selected = g.input("rows", "int64", ["selected"]);
  const weight = sharedWeights(g);
  const tables = rotaryConstants(g, config);
  const cacheShape = ["batch", kvHeads, "capacity", headDim];
  const flat = g.reshape(ids, ["rows_all"]);
  const hidden = decoder(g, config, weight, flat, (layer, { window, rotary }, q, k, v) => {
    const perSequence = (x: Value, n: number) => g.reshape(x, ["batch", "tokens", n * headDim]);
    const pastKey = g.input(`past_key_${layer}`, "float32", cacheShape);
    const pastValue = g.input(`past_value_${layer}`, "float32", cacheShape);
    const { cos, sin } = tables(rotary ?? plainRotary);
    const [mixed, key, value] = g.ops(
      "GroupQueryAttention",
      [
        perSequence(q, heads),
        perSequence(k, kvHeads),
        perSequence(v, kvHeads),
        pastKey,
        pastValue,
        lengths,
        total,
        cos,
        sin,
      ],
      {
        num_heads: heads,
        kv_num_heads: kvHeads,
        do_rotary: rotary ? 1 : 0,
        rotary_interleaved: 0,
        scale: config.attentionScale,
        softcap: config.attentionSoftcap ?? 0,
        local_window_size: window ?? -1,
      },
    );
    g.output(`present_key_${layer}`, key!);
    g.output(`present_value_${layer}`, value!);
    return g.reshape(mixed!, ["rows_all", heads * headDim]);
  });
  const scores = applyHead(g, config, weight, head, g.gather(hidden, selected));
  if (head === "scores") g.output("scores", scores);
  else outputDistribution(g, scores);
  return g;
}

/** What sampling needs of the logits and no more; see `engine/sampler.ts`. */
function outputDistribution(g: Graph, logits: Value): void {
  const temperature = g.input("temperature", "float32", ["selected", 1]);
  g.output("logits", logits);
  g.output("log_sum_exp", g.logSumExp(logits, -1));
  g.output("cdf", g.op("CumSum", [g.softmax(g.div(logits, temperature))], { axis: 1, reverse: 0 }));
}

/** Every weight once, given to the session by name. */
export function sharedWeights(g: Graph): WeightSource {
  const known = new Map<string, Value>();
  return (name, shape) => {
    const value = known.get(name) ?? g.weight(name, "float32", shape);
    known.set(name, value);
    return value;
  };
}

/** Its tables stand where an operator wants some and reads none. */
const plainRotary: Rotary = { theta: 10_000, scaling: null };

/** The tables of each rotary, once. */
function rotaryConstants(g: Graph, { contextTokens, headDim }: TransformerConfig) {
  const shape = [contextTokens, headDim / 2];
  const made = memoized((description: string) => {
    const rotary: Rotary = JSON.parse(description);
    const { cos, sin } = rotaryTables(contextTokens, headDim, rotary);
    return { cos: g.constant("float32", shape, cos), sin: g.constant("float32", shape, sin) };
  });
  return (rotary: Rotary) => made(JSON.stringify(rotary));
}

function memoized<K, V>(make: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    const value = known.get(key) ?? make(key);
    known.set(key, value);
    return value;
  };
}

/**
 * One builder of Llama-style decoders for every use: serving (cache in place), scoring and training
 * share `decoder` and differ only in how weights enter and how attention is computed.
 */
import { assert } from "../base/assert.ts";
import { Graph, type Value } from "./graph.ts";
import { groupedAttention, linear, rmsNorm, rotaryTables, segmentMask, swiglu } from "./layers.ts";

export interface TransformerConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly contextTokens: number;
  readonly tieEmbeddings: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
}

/** logits: next-token scores; scalar: one number per token (`score.weight`: a reward or a value). */
export type Head = "logits" | "scalar";

/** Gives the weight of a Hugging Face name; decides whether it is an input or shared by the session. */
export type WeightSource = (name: string, shape: readonly number[]) => Value;

/** q [rows, heads·headDim], k and v [rows, kvHeads·headDim], not rotated → [rows, heads·headDim]. */
type Attention = (layer: number, q: Value, k: Value, v: Value) => Value;

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
  const { hiddenSize: d, intermediateSize: inner, heads, kvHeads, headDim, normEpsilon } = config;
  const { attentionBias, mlpBias } = config;
  let x = g.gather(weight("model.embed_tokens.weight", [config.vocabSize, d]), ids);
  for (let layer = 0; layer < config.layers; layer++) {
    const at = (name: string, ...shape: number[]) => weight(`model.layers.${layer}.${name}`, shape);
    const norm = (name: string) => rmsNorm(g, x, at(`${name}.weight`, d), normEpsilon);
    const project = (name: string, from: Value, outputs: number, hasBias: boolean) => {
      const matrix = at(`${name}.weight`, outputs, Number(from.shape[1]));
      return linear(g, from, matrix, hasBias ? at(`${name}.bias`, outputs) : null);
    };
    const normed = norm("input_layernorm");
    const q = project("self_attn.q_proj", normed, heads * headDim, attentionBias);
    const k = project("self_attn.k_proj", normed, kvHeads * headDim, attentionBias);
    const v = project("self_attn.v_proj", normed, kvHeads * headDim, attentionBias);
    const mixed = attention(layer, q, k, v);
    x = g.add(x, project("self_attn.o_proj", mixed, d, attentionBias));
    const inside = norm("post_attention_layernorm");
    const gate = project("mlp.gate_proj", inside, inner, mlpBias);
    const up = project("mlp.up_proj", inside, inner, mlpBias);
    x = g.add(x, project("mlp.down_proj", swiglu(g, gate, up), d, mlpBias));
  }
  return rmsNorm(g, x, weight("model.norm.weight", [d]), normEpsilon);
}

/** Hidden rows [n, hiddenSize] → logits [n, vocabSize], or scalars [n]. */
export function applyHead(
  g: Graph,
  config: TransformerConfig,
  weight: WeightSource,
  head: Head,
  hidden: Value,
): Value {
  if (head === "scalar") {
    return g.reshape(linear(g, hidden, weight("score.weight", [1, config.hiddenSize])), [
      hidden.shape[0]!,
    ]);
  }
  const name = config.tieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  return linear(g, hidden, weight(name, [config.vocabSize, config.hiddenSize]));
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
  const { cos, sin } = rotaryInitializers(g, config);
  const mask = segmentMask(g, packed.segments, packed.positions);
  const rotate = (x: Value, n: number) => {
    const byHead = g.transpose(g.reshape(x, [batch, tokens, n, headDim]), [0, 2, 1, 3]);
    return g.transpose(
      g.op("RotaryEmbedding", [byHead, cos, sin, packed.positions], {}),
      [0, 2, 1, 3],
    );
  };
  return decoder(g, config, weight, g.reshape(packed.ids, ["rows"]), (_, q, k, v) => {
    const mixed = groupedAttention(
      g,
      rotate(q, heads),
      rotate(k, kvHeads),
      g.reshape(v, [batch, tokens, kvHeads, headDim]),
      mask,
      config,
    );
    return g.reshape(mixed, ["rows", heads * headDim]);
  });
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
 * or scalar [selected]; present keys and values [batch, kvHeads, capacity, headDim].
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
  const { cos, sin } = rotaryInitializers(g, config);
  const cacheShape = ["batch", kvHeads, "capacity", headDim];
  const hidden = decoder(g, config, weight, g.reshape(ids, ["rows_all"]), (layer, q, k, v) => {
    const perSequence = (x: Value, n: number) => g.reshape(x, ["batch", "tokens", n * headDim]);
    const pastKey = g.input(`past_key_${layer}`, "float32", cacheShape);
    const pastValue = g.input(`past_value_${layer}`, "float32", cacheShape);
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
        do_rotary: 1,
        rotary_interleaved: 0,
        scale: headDim ** -0.5,
      },
    );
    g.output(`present_key_${layer}`, key!);
    g.output(`present_value_${layer}`, value!);
    return g.reshape(mixed!, ["rows_all", heads * headDim]);
  });
  const scores = applyHead(g, config, weight, head, g.gather(hidden, selected));
  if (head === "scalar") g.output("scalar", scores);
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

function rotaryInitializers(g: Graph, config: TransformerConfig) {
  const { cos, sin } = rotaryTables(config.contextTokens, config.headDim, config.ropeTheta);
  const shape = [config.contextTokens, config.headDim / 2];
  return { cos: g.constant("float32", shape, cos), sin: g.constant("float32", shape, sin) };
}

/** The transformer as it is served: keys and values in a cache updated in place, matrices in few bits where asked. */
import { assert } from "../base/assert.ts";
import { Graph, type Value } from "./graph.ts";
import { type Bits, BLOCK, isQuantizable, quantizedShapes } from "./quantize.ts";
import type { Rotary } from "./rotary.ts";
import {
  decoder,
  type Head,
  headOver,
  rotaryConstants,
  sharedWeights,
  type TransformerConfig,
  type Weights,
  wholeWeights,
} from "./transformer.ts";

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
 * Outputs: logits [selected, vocab], log_sum_exp [selected], cdf [selected, vocab] = Σ softmax(logits/T)
 * within each block of `cdfBlock(vocab)`;
 * or scores [selected, labels]; present keys and values [batch, kvHeads, capacity, headDim].
 *
 * With adapted modules, the ranks of all adapters stand side by side as columns: for each module inputs
 * `<module>.lora_a` [rank, in] and `<module>.lora_b` [rank, out], and adapter_columns [batch·tokens, rank], 1 where
 * a row's adapter has the column and 0 elsewhere. A row without adapter gets exactly what it gets without any.
 */
export function servingGraph(
  config: TransformerConfig,
  head: Head,
  { format = "float32", adapted = [] }: ServingGraphOptions = {},
): Graph {
  const g = new Graph();
  const { heads, kvHeads, headDim } = config;
  assert(heads % kvHeads === 0, `${heads} heads cannot share ${kvHeads} key-value heads`);
  assert(isServableHead(headDim), `head size ${headDim} is not a multiple of ${HEAD_MULTIPLE}`);
  const ids = g.input("input_ids", "int64", ["batch", "tokens"]);
  const lengths = g.input("lengths", "int32", ["batch"]);
  const total = g.input("total", "int32", []);
  const selected = g.input("rows", "int64", ["selected"]);
  const weights = withAdapters(g, servedWeights(g, format), new Set(adapted));
  const tables = rotaryConstants(g, config);
  const cacheShape = ["batch", kvHeads, "capacity", headDim];
  const flat = g.reshape(ids, ["rows_all"]);
  const hidden = decoder(g, config, weights, flat, (layer, { window, rotary }, q, k, v) => {
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
  const scores = headOver(g, config, weights, head, g.gather(hidden, selected));
  if (head === "scores") g.output("scores", scores);
  else outputDistribution(g, scores);
  return g;
}

/** What sampling needs of the logits and no more; see `engine/sampler.ts`. */
function outputDistribution(g: Graph, logits: Value): void {
  const temperature = g.input("temperature", "float32", ["selected", 1]);
  g.output("logits", logits);
  g.output("log_sum_exp", g.logSumExp(logits, -1));
  const probabilities = g.softmax(g.div(logits, temperature));
  const vocabSize = Number(logits.shape[1]);
  const block = cdfBlock(vocabSize);
  const blocks = g.reshape(probabilities, ["selected", vocabSize / block, block]);
  const sums = g.op("CumSum", [blocks], { axis: 2, reverse: 0 });
  g.output("cdf", g.reshape(sums, ["selected", vocabSize]));
}

const CDF_BLOCK_MAX = 1024;

/**
 * Over how many tokens probabilities are summed in single precision: a running sum over 150,000 would have lost
 * the small ones. The largest divisor of the vocabulary up to 1,024.
 */
export function cdfBlock(vocabSize: number): number {
  let block = Math.min(vocabSize, CDF_BLOCK_MAX);
  while (vocabSize % block !== 0) block--;
  return block;
}

/** Its tables stand where an operator wants some and reads none. */
const plainRotary: Rotary = { theta: 10_000, scaling: null };

export interface ServingGraphOptions {
  readonly format?: NumberFormat | undefined;
  /** Modules that adapters add to. */
  readonly adapted?: readonly string[];
}

/** y + ((x·Aᵀ) ⊙ columns)·B for the adapted modules. Source: Hu et al., arXiv:2106.09685. */
function withAdapters(g: Graph, weights: Weights, adapted: ReadonlySet<string>): Weights {
  if (adapted.size === 0) return weights;
  const columns = g.input("adapter_columns", "float32", ["rows_all", "rank"]);
  const product: Weights["product"] = (x, name, outputs) => {
    const y = weights.product(x, name, outputs);
    if (!adapted.has(name)) return y;
    const a = g.input(`${name}.lora_a`, "float32", ["rank", Number(x.shape[1])]);
    const b = g.input(`${name}.lora_b`, "float32", ["rank", outputs]);
    const low = g.mul(g.matmul(x, a, { transB: true }), columns);
    return g.add(y, g.matmul(low, b));
  };
  return { tensor: weights.tensor, product };
}

/** How matrices are held while serving; everything else is float32. */
export type NumberFormat = "float32" | "int8" | "int4";

/** The output matrix is held in 8 bits at least: its errors reach the probabilities undamped. */
function bitsOf(format: NumberFormat, name: string): Bits {
  return format === "int4" && name !== "lm_head" && name !== "model.embed_tokens" ? 4 : 8;
}

function servedWeights(g: Graph, format: NumberFormat): Weights {
  const whole = wholeWeights(g, sharedWeights(g));
  if (format === "float32") return whole;
  const product: Weights["product"] = (x, name, outputs) => {
    const inputs = Number(x.shape[1]);
    if (!isQuantizable(inputs)) return whole.product(x, name, outputs);
    const bits = bitsOf(format, name);
    const shapes = quantizedShapes(outputs, inputs, bits);
    const part = (key: "packed" | "scales" | "zeros") =>
      g.weight(
        `${name}.weight.${bits}bit.${key}`,
        key === "scales" ? "float32" : "uint8",
        shapes[key],
      );
    return g.op("MatMulNBits", [x, part("packed"), part("scales"), part("zeros")], {
      K: inputs,
      N: outputs,
      bits,
      block_size: BLOCK,
      accuracy_level: 4,
    });
  };
  return { tensor: whole.tensor, product };
}

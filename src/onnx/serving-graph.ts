/** The transformer as it is served: keys and values in a cache updated in place, matrices in few bits where asked. */
import { assert } from "../base/assert.ts";
import { Graph, type Value } from "./graph.ts";
import type { Rotary } from "./rotary.ts";
import { type ServingGraphOptions, servedWeights } from "./serving-weights.ts";
import {
  decoder,
  type Head,
  headOver,
  rotaryConstants,
  type TransformerConfig,
  type Weights,
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
 * */
export function servingGraph(
  config: TransformerConfig,
  head: Head,
  options: ServingGraphOptions = {},
): Graph {
  const g = new Graph();
  const { heads, kvHeads, headDim } = config;
  assert(heads % kvHeads === 0, `${heads} heads cannot share ${kvHeads} key-value heads`);
  assert(isServableHead(headDim), `head size ${headDim} is not a multiple of ${HEAD_MULTIPLE}`);
  const ids = g.input("input_ids", "int64", ["batch", "tokens"]);
  const lengths = g.input("lengths", "int32", ["batch"]);
  const total = g.input("total", "int32", []);
  const selected = g.input("rows", "int64", ["selected"]);
  const weights = servedWeights(g, options);
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
  outputHead(g, config, weights, head, g.gather(hidden, selected));
  return g;
}

/** Hidden rows [selected, hiddenSize] → the outputs that a step reads. */
export function outputHead(
  g: Graph,
  config: TransformerConfig,
  weights: Weights,
  head: Head,
  hidden: Value,
): void {
  const scores = headOver(g, config, weights, head, hidden);
  if (head === "scores") g.output("scores", scores);
  else outputDistribution(g, scores);
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
export const plainRotary: Rotary = { theta: 10_000, scaling: null };

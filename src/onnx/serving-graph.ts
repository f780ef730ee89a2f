/** The transformer as it is served: keys and values in a cache updated in place, matrices in few bits where asked. */
import { assert } from "../base/assert.ts";
import { cdfBlock, drawTokens, logSumExp } from "./draw.ts";
import { Graph, type Value } from "./graph.ts";
import type { Rotary } from "./rotary.ts";
import type { Provider } from "./runtime/index.ts";
import { cacheType, type ServingGraphOptions, servedWeights } from "./serving-weights.ts";
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
 * within each block of `cdfBlock(vocab)`, but on a device the draws of `drawTokens` instead;
 * or scores [selected, labels]; present keys and values [batch, kvHeads, capacity, headDim] of `cacheType`.
 */
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
  const cached = cacheType(options);
  const cacheShape = ["batch", kvHeads, "capacity", headDim];
  const flat = g.reshape(ids, ["rows_all"]);
  const hidden = decoder(g, config, weights, flat, (layer, { window, rotary }, q, k, v) => {
    const perSequence = (x: Value, n: number) =>
      g.reshape(g.cast(x, cached), ["batch", "tokens", n * headDim]);
    const pastKey = g.input(`past_key_${layer}`, cached, cacheShape);
    const pastValue = g.input(`past_value_${layer}`, cached, cacheShape);
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
        g.cast(cos, cached),
        g.cast(sin, cached),
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
    return g.reshape(g.cast(mixed!, q.dtype), ["rows_all", heads * headDim]);
  });
  outputHead(g, config, weights, head, g.gather(hidden, selected), options.provider);
  return g;
}

/** Hidden rows [selected, hiddenSize] → the outputs that a step reads. */
export function outputHead(
  g: Graph,
  config: TransformerConfig,
  weights: Weights,
  head: Head,
  hidden: Value,
  provider: Provider = "cpu",
): void {
  const scores = g.cast(headOver(g, config, weights, head, hidden), "float32");
  if (head === "scores") g.output("scores", scores);
  else if (provider === "cpu") outputDistribution(g, scores);
  else outputDraws(g, scores);
}

/**
 * What sampling needs, of logits that another graph computed.
 * Inputs: raw_logits [given, vocab]; rows [selected] int64, which of them; temperature [selected, 1].
 * Outputs: logits, log_sum_exp and cdf of `servingGraph`.
 */
export function distributionGraph(vocabSize: number, type: "float32" | "float16"): Graph {
  const g = new Graph();
  const given = g.input("raw_logits", type, ["given", vocabSize]);
  const selected = g.input("rows", "int64", ["selected"]);
  outputDistribution(g, g.cast(g.gather(given, selected), "float32"));
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

/** The same for a device, which draws by itself: the logits stay there, for whoever asks. */
function outputDraws(g: Graph, logits: Value): void {
  const temperature = g.input("temperature", "float32", ["selected", 1]);
  const uniform = g.input("uniform", "float64", ["selected", 1]);
  const total = logSumExp(g, logits);
  const { token, logprob } = drawTokens(g, logits, total, { temperature, uniform });
  g.output("logits", logits);
  g.output("log_sum_exp", total);
  g.output("token", token);
  g.output("logprob", logprob);
}

/** Its tables stand where an operator wants some and reads none. */
export const plainRotary: Rotary = { theta: 10_000, scaling: null };

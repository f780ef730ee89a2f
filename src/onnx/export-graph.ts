/**
 * The transformer as other programs run it: inputs, outputs and cache in the layout of Hugging Face's ONNX exports,
 * which transformers.js and optimum feed. Sequences of a batch are padded on the left; each says where it begins.
 */
import { assert } from "../base/assert.ts";
import { Graph, type Value } from "./graph.ts";
import { isServableHead, plainRotary } from "./serving-graph.ts";
import {
  decoder,
  headOver,
  rotaryConstants,
  sharedWeights,
  type TransformerConfig,
  wholeWeights,
} from "./transformer.ts";

/** Added to the scaled products with padding: after softmax nothing is left of it, and no row becomes NaN. */
const MASKED = -1e9;

/**
 * Inputs: input_ids [batch, tokens]; attention_mask [batch, past + tokens], 0 for padding, which comes first;
 * past_key_values.<layer>.key and .value [batch, kvHeads, past, headDim]; num_logits_to_keep, how many of the last
 * tokens reach the head, 0 for all.
 * Outputs: logits [batch, kept, vocab]; present.<layer>.key and .value [batch, kvHeads, past + tokens, headDim].
 * There are no position_ids: a token's position is its slot, padding counted. Rotation makes products depend on
 * differences of positions only, so that padding before a sequence changes nothing but the last bits.
 * NOTE: several new tokens after a past are for one sequence only, as everywhere with this operator.
 */
export function exportGraph(config: TransformerConfig): Graph {
  const g = new Graph();
  const { heads, kvHeads, headDim, hiddenSize, vocabSize, layers } = config;
  assert(isServableHead(headDim), `head size ${headDim} cannot be exported`);
  const ids = g.input("input_ids", "int64", ["batch_size", "sequence_length"]);
  const mask = g.input("attention_mask", "int64", ["batch_size", "total_sequence_length"]);
  const kept = g.input("num_logits_to_keep", "int64", []);
  const cache = (time: string) => ["batch_size", kvHeads, time, headDim];
  const pasts = Array.from({ length: layers }, (_, layer) =>
    ["key", "value"].map((kind) =>
      g.input(`past_key_values.${layer}.${kind}`, "float32", cache("past_sequence_length")),
    ),
  );
  const { lengths, total, positions, bias } = slots(g, ids, mask);
  const tables = rotaryConstants(g, config);
  const weights = wholeWeights(g, sharedWeights(g));
  const flat = g.reshape(ids, ["rows"]);
  const hidden = decoder(g, config, weights, flat, (layer, { window, rotary }, q, k, v) => {
    const perSequence = (x: Value, n: number) =>
      g.reshape(x, ["batch_size", "sequence_length", n * headDim]);
    const { cos, sin } = tables(rotary ?? plainRotary);
    const [pastKey, pastValue] = pasts[layer]!;
    const [mixed, ...present] = g.ops(
      "GroupQueryAttention",
      [
        perSequence(q, heads),
        perSequence(k, kvHeads),
        perSequence(v, kvHeads),
        pastKey!,
        pastValue!,
        lengths,
        total,
        cos,
        sin,
        positions,
        bias,
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
    ["key", "value"].forEach((kind, i) => {
      const value = { ...present[i]!, shape: cache("total_sequence_length") };
      g.output(`present.${layer}.${kind}`, value);
    });
    return g.reshape(mixed!, ["rows", heads * headDim]);
  });
  const shaped = g.reshape(hidden, ["batch_size", "sequence_length", hiddenSize]);
  const last = g.reshape(lastTokens(g, shaped, ids, kept), ["rows_kept", hiddenSize]);
  const logits = headOver(g, config, weights, "logits", last);
  g.output("logits", g.reshape(logits, ["batch_size", "kept_length", vocabSize]));
  return g;
}

/** Which slots of the cache the new tokens take, and what is added to their products with those of padding. */
function slots(g: Graph, ids: Value, mask: Value) {
  const all = size(g, mask, 1);
  const batch = g.gather(g.op("Shape", [mask], {}), g.ints([0]));
  const none = g.op("ConstantOfShape", [batch], {
    value: 0,
    dtype: "int64",
    shape: ["batch_size"],
  });
  const one = g.scalar(1, "int64");
  const taken = g.op("Range", [g.sub(all, size(g, ids, 1)), all, one], {
    shape: ["sequence_length"],
  });
  const padding = g.where(g.equal(mask, g.scalar(0, "int64")), g.scalar(MASKED), g.scalar(0));
  const rows = g.reshape(padding, ["batch_size", 1, 1, "total_sequence_length"]);
  const column = g.reshape(g.cast(g.zerosLike(ids), "float32"), [
    "batch_size",
    1,
    "sequence_length",
    1,
  ]);
  return {
    lengths: g.cast(g.add(none, g.sub(all, one)), "int32"),
    total: g.cast(all, "int32"),
    positions: g.add(g.reshape(none, ["batch_size", 1]), g.reshape(taken, [1, "sequence_length"])),
    bias: g.add(rows, column),
  };
}

/** [batch, tokens, size] → [batch, kept, size]; 0 keeps all. */
function lastTokens(g: Graph, hidden: Value, ids: Value, kept: Value): Value {
  const tokens = size(g, ids, 1);
  const zero = g.scalar(0, "int64");
  const first = g.where(g.equal(kept, zero), zero, g.max(zero, g.sub(tokens, kept)));
  const chosen = g.op("Range", [first, tokens, g.scalar(1, "int64")], { shape: ["kept_length"] });
  return g.gather(hidden, chosen, 1);
}

/** One size of a value at run time, a scalar. */
function size(g: Graph, of: Value, axis: number): Value {
  return g.gather(g.op("Shape", [of], {}), g.scalar(axis, "int64"));
}

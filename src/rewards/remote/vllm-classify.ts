/**
 * A sequence classifier behind vLLM's `/classify`: one class's score. Unit: the model's logit, or with
 * `raw_scores: false` its probability. Cost: one call for each answer as `chat`, one for up to `batch_max` as `text`.
 * Failure: source.ts, protocol.ts.
 * POST {model?, messages: [{role, content}] | input: [text], use_activation}
 *   → {id, object: "list", created, model, data: [{index, label, probs: [x, …], num_classes}], usage}
 * `label` there is the likeliest class, so a class is chosen by number. Servers of before 2026 know `input` alone.
 * Source: vllm/entrypoints/pooling/classify/protocol.py (ClassificationRequest, ClassificationData).
 */
import { Type } from "typebox";
import { replyReader } from "./protocol.ts";
import { conversationReward } from "./vllm.ts";

const readReply = replyReader(
  Type.Object({ data: Type.Array(Type.Object({ index: Type.Integer(), probs: Type.Unknown() })) }),
);

export const vllmClassify = conversationReward({
  name: "vllm-classify",
  description: "Asks a sequence classifier behind vLLM's /classify for one class's score.",
  rowsOf: (reply) => readReply(reply).data.map(({ index, probs }) => ({ index, values: probs })),
});

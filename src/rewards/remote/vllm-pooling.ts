/**
 * A reward model behind vLLM's `/pooling`: its scalar head at the end of the conversation. Unit: the model's own.
 * Cost: one call for each answer as `chat`, one for up to `batch_max` answers as `text`. Failure: source.ts, protocol.ts.
 * POST {model?, messages: [{role, content}] | input: [text], use_activation}
 *   → {id, object: "list", created, model, data: [{index, object: "pooling", data: [x] | [[x], …]}], usage}
 * `data` has one row a token where the model pools all of them; the last is the reward. A model without a head
 * of that kind answers with its hidden state, which is refused for its many numbers.
 * Source: vllm/entrypoints/pooling/{base,pooling}/protocol.py (PoolingChatRequest, PoolingResponseData).
 */
import { Type } from "typebox";
import { replyReader } from "./protocol.ts";
import { conversationReward } from "./vllm.ts";

const readReply = replyReader(
  Type.Object({ data: Type.Array(Type.Object({ index: Type.Integer(), data: Type.Unknown() })) }),
);

export const vllmPooling = conversationReward({
  name: "vllm-pooling",
  description: "Asks a reward model behind vLLM's /pooling.",
  rowsOf: (reply) => readReply(reply).data.map(({ index, data }) => ({ index, values: data })),
});

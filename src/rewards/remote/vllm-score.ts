/**
 * A cross-encoder behind vLLM's `/score`: how well an answer fits a question. Unit: the model's own.
 * What was asked is the conversation's texts, joined by line ends: such models know no roles.
 * Cost: one call for up to `batch_max` answers. Failure: source.ts, protocol.ts.
 * POST {model?, text_1: [question, …], text_2: [answer, …], use_activation}, pairs by position
 *   → {id, object: "list", created, model, data: [{index, object: "score", score}], usage}
 * Source: vllm/entrypoints/pooling/scoring/protocol.py (ScoreTextRequest, ScoreResponseData).
 */
import { Type } from "typebox";
import { defineReward } from "../define.ts";
import { asQuestion } from "./conversation.ts";
import { batchMaxOption } from "./options.ts";
import { inOrder, remoteReward, replyReader } from "./protocol.ts";
import { vllmOptions } from "./vllm.ts";

const readReply = replyReader(
  Type.Object({ data: Type.Array(Type.Object({ index: Type.Integer(), score: Type.Unknown() })) }),
);

export const vllmScore = defineReward({
  name: "vllm-score",
  description: "Asks a cross-encoder behind vLLM's /score how well an answer fits what was asked.",
  isInline: false,
  options: Type.Object({ ...vllmOptions, batch_max: batchMaxOption }),
  create(id, options, { clock }) {
    const { model, raw_scores } = options;
    return remoteReward(
      { id, settings: options, clock },
      {
        name: "vllm-score",
        judging: { model, raw_scores },
        batchMax: options.batch_max,
        inputOf: (judged) => ({ question: asQuestion(judged), answer: judged.text }),
        body: (batch) => ({
          ...(model !== undefined && { model }),
          text_1: batch.map(({ question }) => question),
          text_2: batch.map(({ answer }) => answer),
          use_activation: !raw_scores,
        }),
        read: (reply, count) =>
          inOrder(
            readReply(reply).data.map(({ index, score }) => ({ index, value: score })),
            count,
          ),
      },
    );
  },
});

/**
 * A cross-encoder behind text-embeddings-inference's `/rerank`: how well an answer fits a question. Unit: the model's
 * logit, or with `raw_scores: false` its sigmoid. What was asked is the conversation's texts, joined by line ends.
 * Cost: one call for up to `batch_max` answers to the same question. Failure: source.ts, protocol.ts.
 * POST {query, texts: [answer, …], raw_scores, truncate: false, return_text: false} → [{index, score}, …], best first
 * Source: router/src/http/types.rs (RerankRequest, Rank).
 */
import { Type } from "typebox";
import { defineReward } from "../define.ts";
import { asQuestion } from "./conversation.ts";
import { batchMaxOption, remoteOptions } from "./options.ts";
import { inOrder, remoteReward, replyReader } from "./protocol.ts";

const readReply = replyReader(
  Type.Array(Type.Object({ index: Type.Integer(), score: Type.Unknown() })),
);

export const teiRerank = defineReward({
  name: "tei-rerank",
  description: "Asks a cross-encoder behind text-embeddings-inference's /rerank.",
  isInline: false,
  options: Type.Object({
    ...remoteOptions,
    raw_scores: Type.Boolean({ default: true, description: "logits, not probabilities" }),
    batch_max: batchMaxOption,
  }),
  create(id, options, { clock }) {
    const { raw_scores } = options;
    return remoteReward(
      { id, settings: options, clock },
      {
        name: "tei-rerank",
        judging: { raw_scores },
        batchMax: options.batch_max,
        inputOf: (judged) => ({ question: asQuestion(judged), answer: judged.text }),
        keyOf: ({ question }) => question,
        body: (batch) => ({
          query: batch[0]!.question,
          texts: batch.map(({ answer }) => answer),
          raw_scores,
          truncate: false,
          return_text: false,
        }),
        read: (reply, count) =>
          inOrder(
            readReply(reply).map(({ index, score }) => ({ index, value: score })),
            count,
          ),
      },
    );
  },
});

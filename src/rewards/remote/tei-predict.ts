/**
 * A sequence classifier behind text-embeddings-inference's `/predict`: one class's score. Unit: the model's logit, or
 * with `raw_scores: false` its probability. Cost: one call for up to `batch_max` answers. Failure: source.ts, protocol.ts.
 * POST {inputs: [[text] | [question, answer], …], raw_scores, truncate: false}
 *   → [[{score, label}, …], …], in the inputs' order, classes by falling score
 * A float that is no number comes as null. More inputs than `--max-client-batch-size` (32) are refused.
 * Source: router/src/http/types.rs (PredictRequest, PredictResponse).
 */
import { Type } from "typebox";
import { defineReward } from "../define.ts";
import { asQuestion, type Judged, templateOption, textWriter } from "./conversation.ts";
import { batchMaxOption, remoteOptions } from "./options.ts";
import { remoteReward, replyReader, WrongReply } from "./protocol.ts";

const readReply = replyReader(
  Type.Array(Type.Array(Type.Object({ score: Type.Unknown(), label: Type.String() }))),
);

export const teiPredict = defineReward({
  name: "tei-predict",
  description:
    "Asks a classifier behind text-embeddings-inference's /predict for one class's score.",
  isInline: false,
  options: Type.Object({
    ...remoteOptions,
    pairs: Type.Boolean({
      default: false,
      description: "send question and answer apart, for cross-encoders, not one text",
    }),
    template: templateOption,
    label: Type.Optional(
      Type.String({
        minLength: 1,
        description: "class whose score is the reward; needed where there are several",
      }),
    ),
    raw_scores: Type.Boolean({ default: true, description: "logits, not probabilities" }),
    batch_max: batchMaxOption,
  }),
  create(id, options, { clock }) {
    const { pairs, template, label, raw_scores } = options;
    const write = textWriter(id, template);
    const inputOf = (judged: Judged) =>
      pairs ? [asQuestion(judged), judged.text] : [write(judged)];
    return remoteReward(
      { id, settings: options, clock },
      {
        name: "tei-predict",
        judging: { pairs, template, label, raw_scores },
        batchMax: options.batch_max,
        inputOf,
        body: (batch) => ({ inputs: batch, raw_scores, truncate: false }),
        read: (reply) => readReply(reply).map((classes) => scoreOf(classes, label)),
      },
    );
  },
});

function scoreOf(
  classes: readonly { readonly score: unknown; readonly label: string }[],
  label: string | undefined,
): unknown {
  const chosen = label === undefined ? classes : classes.filter((each) => each.label === label);
  if (chosen.length === 1) return chosen[0]!.score;
  const known = classes.map((each) => `'${each.label}'`).join(", ");
  throw new WrongReply(
    `has the classes ${known || "none"}, and 'label' ${label === undefined ? "names none" : `is '${label}'`}`,
  );
}

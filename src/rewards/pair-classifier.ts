/**
 * An encoder's judgement of an answer to a question, as a cross-encoder reads the two: one logit of a sequence
 * classifier (BERT, RoBERTa, DeBERTa). Unit: the model's own, unsquashed.
 * What was asked is the conversation's texts, joined by line ends: such models know no roles.
 */
import type { Scorer } from "../engine/types.ts";
import type { PairTokenizer } from "../text/classifier-tokenizer.ts";
import type { Reward } from "./define.ts";
import { labelledRevision, refuseTooLong } from "./reward-model.ts";

export interface PairClassifierParts {
  readonly id: string;
  readonly scorer: Scorer;
  readonly tokenizer: PairTokenizer;
  /** Which of the scorer's labels is the reward. */
  readonly label: number;
}

export function createPairClassifier({
  id,
  scorer,
  tokenizer,
  label,
}: PairClassifierParts): Reward {
  return {
    id,
    revision: labelledRevision(scorer, label),
    acceptsPrefixes: true,
    open({ messages }, signal) {
      const asked = messages.map(({ content }) => content).join("\n");
      const session = scorer.open(tokenizer.encodePair(asked, "").question, signal);
      return {
        async score(text) {
          const { question, answer } = tokenizer.encodePair(asked, text);
          refuseTooLong(id, question.length + answer.length, scorer.contextTokens);
          return session.score(answer, label);
        },
        close: () => session.close(),
      };
    },
  };
}

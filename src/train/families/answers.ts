/** From log-probabilities of tokens to those of answers: what the families of compared answers share. */
import type { Graph, Value } from "../../onnx/graph.ts";
import type { AnswerTerms, PairTerms, SupervisedTerms } from "../losses/define.ts";

/**
 * Sums of each answer's tokens. Feeds: `owners` [scored], the answer a token belongs to; `references` [answers].
 * @param tokens weighted by `weights`, which therefore say how much of an answer counts.
 */
export function answerTerms(g: Graph, { logps, weights }: SupervisedTerms): AnswerTerms {
  const owners = g.input("owners", "int64", ["scored"]);
  const references = g.input("references", "float32", ["answers"]);
  const perAnswer = (values: Value) =>
    g.op("ScatterElements", [g.zerosLike(references), owners, values], {
      axis: 0,
      reduction: "add",
    });
  return { logps: perAnswer(g.mul(logps, weights)), references, tokens: perAnswer(weights) };
}

/** Feeds: `chosen` and `rejected` [pairs], indices of answers; an answer may be in several pairs. */
export function pairTerms(g: Graph, answers: AnswerTerms): PairTerms {
  return {
    chosen: picked(g, answers, g.input("chosen", "int64", ["pairs"])),
    rejected: picked(g, answers, g.input("rejected", "int64", ["pairs"])),
  };
}

function picked(g: Graph, { logps, references, tokens }: AnswerTerms, which: Value): AnswerTerms {
  return {
    logps: g.gather(logps, which),
    references: g.gather(references, which),
    tokens: g.gather(tokens, which),
  };
}

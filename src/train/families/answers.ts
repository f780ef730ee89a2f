/** From log-probabilities of tokens to those of answers: what the families of compared answers share. */
import type { Graph, Value } from "../../onnx/graph.ts";
import type {
  AnswerTerms,
  ListTerms,
  PairTerms,
  SupervisedTerms,
  UnpairedTerms,
} from "../losses/define.ts";

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

/** Feeds: `rated` [rated] indices of answers and `desirable` [rated]; `mismatched` [mismatched] where asked for. */
export function unpairedTerms(
  g: Graph,
  answers: AnswerTerms,
  needsMismatched: boolean,
): UnpairedTerms {
  const mismatched = () => picked(g, answers, g.input("mismatched", "int64", ["mismatched"]));
  return {
    answers: picked(g, answers, g.input("rated", "int64", ["rated"])),
    desirable: g.input("desirable", "float32", ["rated"]),
    mismatched: needsMismatched ? mismatched() : null,
  };
}

/** Feeds: `lists`, `ranks` and `rewards` [answers]. */
export function listTerms(g: Graph, answers: AnswerTerms): ListTerms {
  return {
    answers,
    lists: g.input("lists", "int64", ["answers"]),
    ranks: g.input("ranks", "float32", ["answers"]),
    rewards: g.input("rewards", "float32", ["answers"]),
  };
}

function picked(g: Graph, { logps, references, tokens }: AnswerTerms, which: Value): AnswerTerms {
  return {
    logps: g.gather(logps, which),
    references: g.gather(references, which),
    tokens: g.gather(tokens, which),
  };
}

/** Numbers of answers, and losses over them evaluated: what the tests of preference losses are written with. */
import type { Static, TObject } from "typebox";
import { Value as Json } from "typebox/value";
import { backward } from "../../src/onnx/backward.ts";
import { Graph, type Value } from "../../src/onnx/graph.ts";
import type { Runtime } from "../../src/onnx/runtime/index.ts";
import type { AnswerTerms, LossTerms, PairLoss } from "../../src/train/losses/define.ts";
import { nd } from "./arrays.ts";
import { evaluate, type Feeds, feed, inputs } from "./graphs.ts";

export interface AnswerNumbers {
  /** log π and log π_ref of the whole answer. */
  readonly logp: number;
  readonly reference: number;
  readonly tokens: number;
}

export const answer = (logp: number, reference = 0, tokens = 1): AnswerNumbers => ({
  logp,
  reference,
  tokens,
});

export type Pair = readonly [chosen: AnswerNumbers, rejected: AnswerNumbers];

/** A loss, its metrics and, of the first pair, its gradients by log π (`d chosen`, `d rejected`), in double precision. */
export async function pairLossOf<O extends TObject>(
  runtime: Runtime,
  loss: PairLoss<O>,
  given: Partial<Static<O>>,
  pairs: readonly Pair[],
): Promise<Record<string, number>> {
  const feeds = {
    ...answerFeeds(
      "chosen.",
      pairs.map(([chosen]) => chosen),
    ),
    ...answerFeeds(
      "rejected.",
      pairs.map(([, rejected]) => rejected),
    ),
  };
  return numbersOf(runtime, feeds, (g, terms) => {
    const [chosen, rejected] = [answerTerms(terms, "chosen."), answerTerms(terms, "rejected.")];
    const built = loss.build(g, { chosen, rejected }, complete(loss, given));
    const slopes = backward(g, built.loss, [chosen.logps, rejected.logps]);
    const gradients = { "d chosen": slopes[0]!, "d rejected": slopes[1]! };
    return { ...built, metrics: { ...built.metrics, ...gradients } };
  });
}

/** The options with defaults for those not given. */
export function complete<O extends TObject>(
  { name, options }: { readonly name: string; readonly options: O },
  given: Partial<Static<O>>,
): Static<O> {
  const completed = Json.Default(options, { ...given });
  if (!Json.Check(options, completed)) throw new Error(`${name} refuses ${JSON.stringify(given)}`);
  return completed;
}

export function answerFeeds(prefix: string, answers: readonly AnswerNumbers[]): Feeds {
  const column = (values: readonly number[]) => feed("float64", nd([values.length], values));
  return {
    [`${prefix}logps`]: column(answers.map(({ logp }) => logp)),
    [`${prefix}references`]: column(answers.map(({ reference }) => reference)),
    [`${prefix}tokens`]: column(answers.map(({ tokens }) => tokens)),
  };
}

export const answerTerms = (
  terms: Readonly<Record<string, Value>>,
  prefix: string,
): AnswerTerms => ({
  logps: terms[`${prefix}logps`]!,
  references: terms[`${prefix}references`]!,
  tokens: terms[`${prefix}tokens`]!,
});

export async function numbersOf(
  runtime: Runtime,
  feeds: Feeds,
  build: (g: Graph, terms: Readonly<Record<string, Value>>) => LossTerms,
): Promise<Record<string, number>> {
  const g = new Graph();
  const { loss, metrics } = build(g, inputs(g, feeds));
  const results = await evaluate(runtime, g, { ...metrics, loss }, feeds);
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, data[0]!]));
}

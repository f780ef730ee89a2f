/** Numbers of answers, and losses over them evaluated: what the tests of preference losses are written with. */
import type { Static, TObject } from "typebox";
import { Value as Json } from "typebox/value";
import { backward } from "../../src/onnx/backward.ts";
import { Graph, type Value } from "../../src/onnx/graph.ts";
import type { Runtime } from "../../src/onnx/runtime/index.ts";
import type {
  AnswerTerms,
  ListLoss,
  ListTerms,
  LossTerms,
  PairLoss,
  PairTerms,
  UnpairedLoss,
  UnpairedTerms,
} from "../../src/train/losses/define.ts";
import { type Nd, nd, random } from "./arrays.ts";
import { evaluate, type Feeds, feed, inputs } from "./graphs.ts";

export interface AnswerNumbers {
  /** log π and log π_ref of the whole answer. */
  readonly logp: number;
  readonly reference: number;
  readonly tokens: number;
  /** Σ over tokens of log Σ_v π(v)². */
  readonly collisions: number;
}

export const answer = (
  logp: number,
  reference = 0,
  tokens = 1,
  collisions = -tokens,
): AnswerNumbers => ({ logp, reference, tokens, collisions });

/** What some losses are told of pairs, beside their answers. */
export interface PairNotes {
  readonly margins?: readonly number[];
  /** Row by row. */
  readonly similarities?: readonly number[];
  readonly running?: { readonly mean: number; readonly steps: number };
}

export type Pair = readonly [chosen: AnswerNumbers, rejected: AnswerNumbers];

/** A loss, its metrics and, of the first pair, its gradients by log π (`d chosen`, `d rejected`), in double precision. */
export async function pairLossOf<O extends TObject>(
  runtime: Runtime,
  loss: PairLoss<O>,
  given: Partial<Static<O>>,
  pairs: readonly Pair[],
  notes: PairNotes = {},
): Promise<Record<string, number>> {
  const chosen = pairs.map(([each]) => each);
  const rejected = pairs.map(([, each]) => each);
  const feeds = {
    ...answerFeeds("chosen.", chosen),
    ...answerFeeds("rejected.", rejected),
    ...noteFeeds(notes, pairs.length),
  };
  return numbersOf(runtime, feeds, (g, values) => {
    const terms = pairTerms(values);
    const built = loss.build(g, terms, complete(loss, given));
    const slopes = backward(g, built.loss, [terms.chosen.logps, terms.rejected.logps]);
    const gradients = { "d chosen": slopes[0]!, "d rejected": slopes[1]! };
    return { ...built, metrics: { ...built.metrics, ...gradients } };
  });
}

/** A loss and its metrics over answers good (1) or bad (0) by themselves, and mismatched ones. */
export async function unpairedLossOf<O extends TObject>(
  runtime: Runtime,
  loss: UnpairedLoss<O>,
  given: Partial<Static<O>>,
  rated: readonly (readonly [isDesirable: 0 | 1, AnswerNumbers])[],
  mismatched: readonly AnswerNumbers[] = [answer(0)],
  notes: PairNotes = {},
): Promise<Record<string, number>> {
  const feeds = {
    ...answerFeeds(
      "",
      rated.map(([, each]) => each),
    ),
    ...answerFeeds("mismatched.", mismatched),
    desirable: feed(
      "float64",
      nd(
        [rated.length],
        rated.map(([kind]) => kind),
      ),
    ),
    ...noteFeeds(notes, 1),
  };
  return numbersOf(runtime, feeds, (g, terms) =>
    loss.build(g, unpairedTerms(terms), complete(loss, given)),
  );
}

export type RankedList = readonly (readonly [reward: number, AnswerNumbers])[];

/** A loss, its metrics and its gradient by each log π (`d 0`, …) over lists whose rewards all differ. */
export async function listLossOf<O extends TObject>(
  runtime: Runtime,
  loss: ListLoss<O>,
  given: Partial<Static<O>>,
  lists: readonly RankedList[],
): Promise<Record<string, number>> {
  const all = lists.flatMap((list, owner) =>
    list.map(([reward, numbers]) => ({
      owner,
      reward,
      numbers,
      rank: list.filter(([other]) => other > reward).length,
    })),
  );
  const column = (values: readonly number[]) => nd([all.length], values);
  const feeds = {
    ...answerFeeds(
      "",
      all.map(({ numbers }) => numbers),
    ),
    lists: feed("int64", column(all.map(({ owner }) => owner))),
    ranks: feed("float64", column(all.map(({ rank }) => rank))),
    rewards: feed("float64", column(all.map(({ reward }) => reward))),
  };
  return numbersOf(runtime, feeds, (g, values) => {
    const terms = listTerms(values);
    const built = loss.build(g, terms, complete(loss, given));
    const [slopes] = backward(g, built.loss, [terms.answers.logps]);
    const gradients = all.map((_, i) => [`d ${i}`, g.gather(slopes!, g.ints([i]))] as const);
    return { ...built, metrics: { ...built.metrics, ...Object.fromEntries(gradients) } };
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

function noteFeeds(
  { margins, similarities, running = { mean: 0, steps: 0 } }: PairNotes,
  pairs: number,
): Feeds {
  const same = (i: number) => (i % (pairs + 1) === 0 ? 1 : 0);
  const table = similarities ?? Array.from({ length: pairs * pairs }, (_, i) => same(i));
  return {
    margins: feed("float64", nd([pairs], margins ?? Array.from({ length: pairs }, () => 0))),
    similarities: feed("float64", nd([pairs, pairs], table)),
    "running.mean": feed("float64", nd([], [running.mean])),
    "running.steps": feed("float64", nd([], [running.steps])),
  };
}

function answerFeeds(prefix: string, answers: readonly AnswerNumbers[]): Feeds {
  const column = (values: readonly number[]) => feed("float64", nd([values.length], values));
  return {
    [`${prefix}logps`]: column(answers.map(({ logp }) => logp)),
    [`${prefix}references`]: column(answers.map(({ reference }) => reference)),
    [`${prefix}tokens`]: column(answers.map(({ tokens }) => tokens)),
    [`${prefix}collisions`]: column(answers.map(({ collisions }) => collisions)),
  };
}

type Values = Readonly<Record<string, Value>>;

const answerTerms = (values: Values, prefix: string): AnswerTerms => ({
  logps: values[`${prefix}logps`]!,
  references: values[`${prefix}references`]!,
  tokens: values[`${prefix}tokens`]!,
  collisions: values[`${prefix}collisions`],
});
const runningOf = (values: Values) => () => ({
  mean: values["running.mean"]!,
  steps: values["running.steps"]!,
});
export const pairTerms = (values: Values): PairTerms => ({
  chosen: answerTerms(values, "chosen."),
  rejected: answerTerms(values, "rejected."),
  margins: values["margins"],
  similarities: values["similarities"],
  running: runningOf(values),
});
export const unpairedTerms = (values: Values): UnpairedTerms => ({
  answers: answerTerms(values, ""),
  desirable: values["desirable"]!,
  mismatched: answerTerms(values, "mismatched."),
  running: runningOf(values),
});
export const listTerms = (values: Values): ListTerms => ({
  answers: answerTerms(values, ""),
  lists: values["lists"]!,
  ranks: values["ranks"]!,
  rewards: values["rewards"]!,
});

/** Numbers of an ordinary batch of each family, and the ones that depend on the model. */
const earlier = { "running.mean": nd([], [0.3]), "running.steps": nd([], [4]) };
export const ordinaryPairs = {
  terms: {
    ...sixAnswers("chosen.", 10),
    ...sixAnswers("rejected.", 20),
    margins: nd([6], [0.5, 2, 0, 1, 0.25, -0.5]),
    similarities: random(60, [6, 6], -1, 1),
    ...earlier,
  },
  trained: ["chosen.logps", "rejected.logps"],
};
export const ordinaryAnswers = {
  terms: {
    ...sixAnswers("", 30),
    ...sixAnswers("mismatched.", 46),
    desirable: nd([6], [1, 0, 0, 1, 1, 0]),
    ...earlier,
  },
  trained: ["logps"],
};
export const ordinaryLists = {
  terms: {
    ...sixAnswers("", 50),
    lists: nd([6], [0, 0, 1, 1, 1, 1]),
    ranks: nd([6], [1, 0, 2, 0, 3, 1]),
    rewards: nd([6], [0.2, 0.9, 0.3, 1, 0.3, 0.6]),
  },
  trained: ["logps"],
};

/** Log-probabilities near to the reference's, and lengths. */
function sixAnswers(prefix: string, seed: number): Record<string, Nd> {
  const references = random(seed, [6], -30, -5);
  const drift = random(seed + 1, [6], -3, 3);
  const logps = references.data.map((logp, i) => logp + drift.data[i]!);
  return {
    [`${prefix}logps`]: nd([6], logps),
    [`${prefix}references`]: references,
    [`${prefix}tokens`]: nd([6], [3, 7, 4, 5, 9, 2]),
    [`${prefix}collisions`]: random(seed + 2, [6], -9, -1),
  };
}

async function numbersOf(
  runtime: Runtime,
  feeds: Feeds,
  build: (g: Graph, terms: Readonly<Record<string, Value>>) => LossTerms,
): Promise<Record<string, number>> {
  const g = new Graph();
  const { loss, metrics } = build(g, inputs(g, feeds));
  const results = await evaluate(runtime, g, { ...metrics, loss }, feeds);
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, data[0]!]));
}

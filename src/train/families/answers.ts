/**
 * The families of compared answers, both halves: what their graphs take from log-probabilities of
 * tokens, and the arrays that examples become. An answer is packed and scored once, however often
 * it is compared.
 */
import { assert } from "../../base/assert.ts";
import type { Graph, Value } from "../../onnx/graph.ts";
import { type StepData, supervisedStep } from "../batches.ts";
import type {
  AnswerTerms,
  ListTerms,
  PairNeed,
  PairTerms,
  SupervisedTerms,
  UnpairedTerms,
} from "../losses/define.ts";

/**
 * Sums of each answer's tokens, weighted by `weights`, which therefore say how much of an answer counts.
 * Feeds: `owners` [scored], the answer a token belongs to; `references` [answers].
 * @param all [scored, vocabulary] log-probabilities, where collisions are needed.
 */
export function answerTerms(
  g: Graph,
  { logps, weights }: SupervisedTerms,
  all?: Value,
): AnswerTerms {
  const owners = g.input("owners", "int64", ["scored"]);
  const references = g.input("references", "float32", ["answers"]);
  const perAnswer = (values: Value) =>
    g.op("ScatterElements", [g.zerosLike(references), owners, values], {
      axis: 0,
      reduction: "add",
    });
  const collisions = all && g.logSumExp(g.scale(all, 2), 1); // [scored] log Σ_v π(v)²
  return {
    logps: perAnswer(g.mul(logps, weights)),
    references,
    tokens: perAnswer(weights),
    collisions: collisions && perAnswer(g.mul(collisions, weights)),
  };
}

/**
 * Feeds: `chosen` and `rejected` [pairs], indices of answers; an answer may be in several pairs. As needed: `margins`
 * [pairs], `similarities` [pairs · pairs].
 */
export function pairTerms(
  g: Graph,
  answers: AnswerTerms,
  needs: readonly PairNeed[] = [],
): PairTerms {
  const table = () =>
    g.reshape(g.input("similarities", "float32", ["compared_pairs"]), ["pairs", "pairs"]);
  return {
    chosen: picked(g, answers, g.input("chosen", "int64", ["pairs"])),
    rejected: picked(g, answers, g.input("rejected", "int64", ["pairs"])),
    margins: needs.includes("margins") ? g.input("margins", "float32", ["pairs"]) : undefined,
    similarities: needs.includes("similarities") ? table() : undefined,
  };
}

/**
 * Feeds: `rated` [rated] indices of answers and `desirable` [rated]; `mismatched` [mismatched]
 * where asked for.
 */
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

function picked(
  g: Graph,
  { logps, references, tokens, collisions }: AnswerTerms,
  which: Value,
): AnswerTerms {
  return {
    logps: g.gather(logps, which),
    references: g.gather(references, which),
    tokens: g.gather(tokens, which),
    collisions: collisions && g.gather(collisions, which),
  };
}

/** An answer to a prompt, with what the reference policy says of it. */
export interface Answer {
  readonly prompt: readonly number[];
  /** Not empty. */
  readonly completion: readonly number[];
  /**
   * log π_ref(completion | prompt), summed over the completion's tokens; 0 for losses without a
   * reference.
   */
  readonly reference: number;
  /** How much each token counts; 1 where nothing is said. */
  readonly weights?: readonly number[];
}

/** Answers to one prompt, and which of two of them was preferred. */
export interface PreferenceGroup {
  readonly prompt: readonly number[];
  readonly answers: readonly Omit<Answer, "prompt">[];
  /** Indices into `answers`. */
  readonly pairs: readonly { readonly chosen: number; readonly rejected: number }[];
}

/**
 * The tokens of every answer, which answer each belongs to, and the reference's log-probabilities.
 * @throws InvariantError for an empty prompt or answer, or a reference that is not a finite number.
 */
export function answerStep(answers: readonly Answer[], tokensPerRow: number): StepData {
  for (const { completion, reference } of answers) {
    assert(completion.length > 0, "an answer is empty");
    assert(Number.isFinite(reference), `a reference log-probability is ${reference}`);
  }
  const step = supervisedStep(answers, tokensPerRow);
  const owners = answers.flatMap(({ completion }, i) => completion.map(() => BigInt(i)));
  return {
    packed: step.packed,
    int64: { ...step.int64, owners: BigInt64Array.from(owners) },
    float32: {
      weights: Float32Array.from(
        answers.flatMap(({ completion, weights }) => weights ?? completion.map(() => 1)),
      ),
      references: Float32Array.from(answers, ({ reference }) => reference),
    },
  };
}

/**
 * Length-desensitised answers of a pair: what one has beyond the other's length counts α as much.
 * @returns of each answer how much its tokens count.
 * Source: Liu et al., arXiv:2409.06411 (LD-DPO), eq. 9; TRL's `ld_alpha`.
 */
export function desensitised(
  [a, b]: readonly [readonly number[], readonly number[]],
  alpha: number,
): readonly [number[], number[]] {
  const shared = Math.min(a.length, b.length);
  const weights = (completion: readonly number[]) =>
    completion.map((_, t) => (t < shared ? 1 : alpha));
  return [weights(a), weights(b)];
}

/**
 * How like prompts are by the tokens that they share: cosines of their counts, each weighed by log(N/n), n the prompts
 * among all N that have the token: what all have, such as a template's words, counts nothing. A prompt is like itself (1);
 * one of nothing but such tokens is like no other.
 * @param rarity by token, of `tokenRarity`. @returns [prompts · prompts]
 * Source: Spärck Jones 1972 (the weights); Salton et al. 1975 (the cosine).
 */
export function promptSimilarities(
  prompts: readonly (readonly number[])[],
  rarity: ReadonlyMap<number, number>,
): Float32Array<ArrayBuffer> {
  const vectors = prompts.map((prompt) => unitVector(prompt, rarity));
  const cosine = (a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>) =>
    [...a].reduce((sum, [token, x]) => sum + x * (b.get(token) ?? 0), 0);
  return Float32Array.from(
    vectors.flatMap((a, i) => vectors.map((b, j) => (i === j ? 1 : cosine(a, b)))),
  );
}

/** log(N/n) of each token, n of N prompts having it. */
export function tokenRarity(prompts: readonly (readonly number[])[]): ReadonlyMap<number, number> {
  const having = new Map<number, number>();
  for (const prompt of prompts)
    for (const token of new Set(prompt)) having.set(token, (having.get(token) ?? 0) + 1);
  return new Map([...having].map(([token, n]) => [token, Math.log(prompts.length / n)]));
}

function unitVector(prompt: readonly number[], rarity: ReadonlyMap<number, number>) {
  const counts = new Map<number, number>();
  for (const token of prompt)
    counts.set(token, (counts.get(token) ?? 0) + (rarity.get(token) ?? 0));
  const length = Math.hypot(...counts.values());
  return new Map([...counts].map(([token, x]) => [token, length > 0 ? x / length : 0]));
}

/** @throws InvariantError when there is no pair, or a pair names an answer that its group lacks. */
export function pairStep(groups: readonly PreferenceGroup[], tokensPerRow: number): StepData {
  const answers = groups.flatMap(({ prompt, answers }) =>
    answers.map((answer) => ({ ...answer, prompt })),
  );
  const chosen: bigint[] = [];
  const rejected: bigint[] = [];
  let first = 0;
  for (const group of groups) {
    for (const pair of group.pairs) {
      for (const each of [pair.chosen, pair.rejected])
        assert(group.answers[each], `a pair names answer ${each} of ${group.answers.length}`);
      chosen.push(BigInt(first + pair.chosen));
      rejected.push(BigInt(first + pair.rejected));
    }
    first += group.answers.length;
  }
  assert(chosen.length > 0, "there is no pair to learn from");
  const step = answerStep(answers, tokensPerRow);
  const pairs = { chosen: BigInt64Array.from(chosen), rejected: BigInt64Array.from(rejected) };
  return { ...step, int64: { ...step.int64, ...pairs } };
}

/** An answer that is good or bad by itself. */
export interface RatedAnswer extends Answer {
  readonly isDesirable: boolean;
}

/**
 * Each example's prompt with the answer of the one before it (the first with the last's), for the
 * KL term of KTO. The batch should hold several prompts: with one, nothing is mismatched.
 */
export function mismatched<E extends Pick<Answer, "prompt" | "completion">>(
  examples: readonly E[],
): Pick<Answer, "prompt" | "completion">[] {
  return examples.map(({ prompt }, i) => ({ prompt, completion: examples.at(i - 1)!.completion }));
}

/**
 * @param others answers under prompts of others, for a loss that asks for them; with their own
 * references.
 * @throws InvariantError when there is no answer.
 */
export function unpairedStep(
  rated: readonly RatedAnswer[],
  others: readonly Answer[] | null,
  tokensPerRow: number,
): StepData {
  assert(rated.length > 0, "there is no answer to learn from");
  assert(others?.length !== 0, "there are no mismatched answers");
  const step = answerStep([...rated, ...(others ?? [])], tokensPerRow);
  const indices = (answers: readonly Answer[], first: number) =>
    BigInt64Array.from(answers, (_, i) => BigInt(first + i));
  const mismatches = others ? { mismatched: indices(others, rated.length) } : {};
  return {
    ...step,
    int64: { ...step.int64, rated: indices(rated, 0), ...mismatches },
    float32: {
      ...step.float32,
      desirable: Float32Array.from(rated, ({ isDesirable }) => (isDesirable ? 1 : 0)),
    },
  };
}

/** Answers to one prompt, each with what it is worth. */
export interface AnswerList {
  readonly prompt: readonly number[];
  readonly answers: readonly (Omit<Answer, "prompt"> & { readonly reward: number })[];
}

/**
 * Ranks are by reward; of equal ones the earlier is ranked higher.
 * @throws InvariantError when there is no list, one has less than two answers, or a reward is not a
 * number.
 */
export function listStep(given: readonly AnswerList[], tokensPerRow: number): StepData {
  assert(given.length > 0, "there is no list to learn from");
  for (const { answers } of given) {
    assert(answers.length > 1, `a list has ${answers.length} answers`);
    for (const { reward } of answers) assert(Number.isFinite(reward), `a reward is ${reward}`);
  }
  const all = given.flatMap(({ prompt, answers }, list) =>
    answers.map((answer, i) => ({ ...answer, prompt, list, rank: rankOf(answers, i) })),
  );
  const step = answerStep(all, tokensPerRow);
  return {
    ...step,
    int64: { ...step.int64, lists: BigInt64Array.from(all, ({ list }) => BigInt(list)) },
    float32: {
      ...step.float32,
      ranks: Float32Array.from(all, ({ rank }) => rank),
      rewards: Float32Array.from(all, ({ reward }) => reward),
    },
  };
}

function rankOf(answers: readonly { readonly reward: number }[], i: number): number {
  const { reward } = answers[i]!;
  return answers.filter((each, j) => each.reward > reward || (each.reward === reward && j < i))
    .length;
}

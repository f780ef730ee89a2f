/** Laws of answers, written down by enumeration (text → probability), and what strategies drew held to them. */
import type { Strategy } from "../../src/strategies/define.ts";
import { type Law, type ListedCompletion, listCompletions } from "../support/tabular-generator.ts";
import { end, law, tokenizer } from "../support/tabular-policy.ts";
import { best, finish, type RunOptions } from "./support.ts";

export type TextLaw = ReadonlyMap<string, number>;

/** No two texts have the same reward, and neither length nor probability decides it. */
export const distinct = (text: string) =>
  Array.from(text).reduce((value, letter) => (value * 31 + letter.codePointAt(0)!) % 1009, 7);

/** The same in [0, 1], as process rewards judge a step. */
export const worth = (text: string) => distinct(text) / 1009;

/** The law of answers of so many tokens: the policy's own, or another's. */
export const textLaw = (maxTokens: number, rows: Law = law): TextLaw =>
  new Map(listTexts(maxTokens, rows).map(({ text, probability }) => [text, probability]));

/** [F(class)ⁿ − F(below)ⁿ], shared within a class of equal rewards as the law shares it. */
export function bestOf<T>(
  atoms: ReadonlyMap<T, number>,
  reward: (atom: T) => number,
  n: number,
): Map<T, number> {
  const mass = (among: (other: number) => boolean) =>
    [...atoms].reduce((sum, [atom, p]) => sum + (among(reward(atom)) ? p : 0), 0);
  return new Map(
    [...atoms].map(([atom, p]) => {
      const own = reward(atom);
      const [upTo, below] = [mass((r) => r <= own), mass((r) => r < own)];
      return [atom, (p / (upTo - below)) * (upTo ** n - below ** n)];
    }),
  );
}

/** An answer in the making, one token after the other. */
export interface Prefix {
  readonly tokens: readonly number[];
  readonly text: string;
  readonly hasEnded: boolean;
}

export const emptyPrefix: Prefix = { tokens: [], text: "", hasEnded: false };

/** What one token more makes of an answer, with the policy's probabilities. */
export function nextPrefixes({ tokens }: Prefix, maxTokens: number): Map<Prefix, number> {
  return new Map(
    [...law(tokens)].map(([id, p]) => {
      const grown = [...tokens, id];
      const hasEnded = id === end || grown.length === maxTokens;
      return [{ tokens: grown, text: tokenizer.decode(grown), hasEnded }, p];
    }),
  );
}

/** Adds to a law that is being written. */
export function add(law: Map<string, number>, text: string, probability: number): void {
  law.set(text, (law.get(text) ?? 0) + probability);
}

/** KL(q ‖ p), nats. */
export function klBetween(q: TextLaw, p: TextLaw): number {
  return [...q].reduce((sum, [text, mass]) => {
    return mass === 0 ? sum : sum + mass * Math.log(mass / p.get(text)!);
  }, 0);
}

/** χ² that a true law exceeds once in 1,000 times, by degrees of freedom. Source: tables of the distribution. */
export const chiSquareLimits: Readonly<Record<number, number>> = {
  3: 16.27,
  9: 27.88,
  12: 32.91,
  36: 67.99,
  39: 72.05,
};

/** Of answers of up to two tokens, which are 13. */
export const limit = chiSquareLimits[12]!;
export const draws = 1_000;

export interface ListedText extends ListedCompletion {
  readonly text: string;
}

/** Every answer the tabular policy, or one of another law, can give in so many tokens; no two have the same text. */
export function listTexts(maxTokens: number, rows: Law = law): ListedText[] {
  return listCompletions(rows, end, maxTokens).map((listed) => ({
    ...listed,
    text: tokenizer.decode(listed.tokens),
  }));
}

/**
 * The exact law of an answer picked from n independent candidates: every tuple of texts with its probability, shared
 * among its places as `chances` says.
 */
export function pickLaw(
  listed: readonly ListedText[],
  n: number,
  chances: (tuple: readonly ListedText[]) => readonly number[],
): Map<string, number> {
  const law = new Map(listed.map(({ text }) => [text, 0]));
  const extend = (tuple: readonly ListedText[], probability: number) => {
    if (tuple.length < n) {
      for (const next of listed) extend([...tuple, next], probability * next.probability);
      return;
    }
    for (const [at, chance] of chances(tuple).entries()) {
      const { text } = tuple[at]!;
      law.set(text, law.get(text)! + probability * chance);
    }
  };
  extend([], 1);
  return law;
}

/** All the chance to one place. */
export const certainly = (tuple: readonly unknown[], place: number): number[] =>
  tuple.map((_, at) => (at === place ? 1 : 0));

/** The first place of the highest value. */
export const argmax = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/**
 * Pearson's Σ (observed − expected)²/expected over the texts, of so many draws. Texts expected less
 * than 5 times count together, so the degrees of freedom are at most the texts less one.
 */
export function chiSquare(
  observed: ReadonlyMap<string, number>,
  law: ReadonlyMap<string, number>,
  draws: number,
): number {
  const cells = [...law].map(([text, p]) => [observed.get(text) ?? 0, p * draws] as const);
  const large = cells.filter(([, expected]) => expected >= 5);
  const rest = cells.filter(([, expected]) => expected < 5);
  const pooled = rest.reduce(([o, e], [seen, expected]) => [o + seen, e + expected], [0, 0]);
  const all = pooled[1]! > 0 ? [...large, pooled] : large;
  return all.reduce((sum, [seen, expected]) => sum + (seen! - expected!) ** 2 / expected!, 0);
}

/** How often each text is what so many draws answer, draw i by the seed i. */
export async function countTexts(draws: number, draw: (seed: number) => Promise<string>) {
  const counts = new Map<string, number>();
  for (let seed = 0; seed < draws; seed++) {
    const text = await draw(seed);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return counts;
}

/** What the strategy answers in two tokens at most, in so many draws. */
export const observe = (
  strategy: Strategy,
  run: RunOptions,
): Promise<ReadonlyMap<string, number>> =>
  countTexts(draws, async (seed) => {
    const sampling = { maxTokens: 2, ...run.sampling, seed };
    return best(await finish(strategy, { ...run, sampling })).text;
  });

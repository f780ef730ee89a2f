/** Laws of answers, written down by enumeration: text → probability. */
import { end, law, tokenizer } from "../support/tabular-policy.ts";
import { listTexts } from "./support.ts";

export type TextLaw = ReadonlyMap<string, number>;

/** No two texts have the same reward, and neither length nor probability decides it. */
export const distinct = (text: string) =>
  Array.from(text).reduce((value, letter) => (value * 31 + letter.codePointAt(0)!) % 1009, 7);

/** The policy's own law of answers of so many tokens. */
export const textLaw = (maxTokens: number): TextLaw =>
  new Map(listTexts(maxTokens).map(({ text, probability }) => [text, probability]));

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

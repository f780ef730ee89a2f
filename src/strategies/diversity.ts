/** How different texts are from each other, whatever vocabulary drew them. */

export interface Diversity {
  /** Different texts ÷ texts. */
  readonly distinct: number;
  /** Mean over all pairs of 1 − |A ∩ B|/|A ∪ B|, A and B their sets of words and signs; 0 for fewer than two texts. */
  readonly distance: number;
}

/**
 * Jaccard's distance forgets order and repetition, and costs the number of pairs times the number of different words:
 * 128 answers of some hundred words take milliseconds, where an edit distance would take minutes.
 * Source: Jaccard 1912, New Phytologist 11:37.
 */
export function diversityOf(texts: readonly string[]): Diversity {
  if (texts.length === 0) return { distinct: 0, distance: 0 };
  const distinct = new Set(texts).size / texts.length;
  const words = texts.map((text) => new Set(text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+|\S/gu)));
  let sum = 0;
  for (const [i, one] of words.entries()) {
    for (const other of words.slice(i + 1)) sum += jaccardDistance(one, other);
  }
  const pairs = (texts.length * (texts.length - 1)) / 2;
  return { distinct, distance: pairs === 0 ? 0 : sum / pairs };
}

function jaccardDistance(one: ReadonlySet<string>, other: ReadonlySet<string>): number {
  if (one.size === 0 && other.size === 0) return 0;
  let shared = 0;
  for (const word of one) if (other.has(word)) shared += 1;
  return 1 - shared / (one.size + other.size - shared);
}

/**
 * The next token's distribution written from the definitions: plain arrays, full sorts, no
 * shortcuts. Shares nothing with src/engine but the types.
 */
import { chiSquareSurvival } from "../../src/base/statistics.ts";
import type { LogitsRow } from "../../src/engine/sampler.ts";
import type { Sampling } from "../../src/engine/types.ts";
import { cdfBlock } from "../../src/onnx/draw.ts";

/** Neutral options: the model's own distribution. */
export const plainSampling: Sampling = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: new Map(),
  maxTokens: 16,
  endTokens: new Set(),
  seed: 0,
  topLogprobs: 0,
};

/** Probability of every token, given the completion so far. */
export function referenceProbabilities(
  logits: ArrayLike<number>,
  sampling: Sampling,
  completion: readonly number[] = [],
): number[] {
  const adjusted = Array.from(logits, (logit, id) => logit + biasOf(sampling, id)).map(
    (logit, id) => logit - penaltyOf(sampling, completion.filter((token) => token === id).length),
  );
  if (sampling.temperature === 0) {
    const best = adjusted.indexOf(Math.max(...adjusted));
    return adjusted.map((_, id) => (id === best ? 1 : 0));
  }
  let p = softmax(adjusted.map((logit) => logit / sampling.temperature));
  if (sampling.topK > 0) p = keepOnly(p, new Set(byProbability(p).slice(0, sampling.topK)));
  if (sampling.topP < 1) p = keepOnly(p, nucleus(p, sampling.topP));
  const most = Math.max(...p);
  return keepOnly(p, new Set([...p.keys()].filter((id) => p[id]! >= sampling.minP * most)));
}

/** What the graph returns for these logits: float32 throughout, sums in the order of the ids. */
export function graphRow(values: ArrayLike<number>, temperature = 1): LogitsRow {
  const logits = Float32Array.from(values);
  const max = Math.max(...logits);
  const sum = [...logits].reduce((total, logit) => total + Math.exp(logit - max), 0);
  const scale = temperature || 1;
  const exponentials = logits.map((logit) => Math.exp(Math.fround((logit - max) / scale)));
  const total = exponentials.reduce((part, value) => Math.fround(part + value), 0);
  const block = cdfBlock(logits.length);
  let running = 0;
  const cdf = exponentials.map((value, id) => {
    if (id % block === 0) running = 0;
    running = Math.fround(running + Math.fround(value / total));
    return running;
  });
  return { logits, logSumExp: Math.fround(max + Math.log(sum)), cdf };
}

/**
 * P-value of Pearson's test that the counts come from the probabilities. Cells that expect fewer
 * than 5 are pooled. A count where the probability is 0 gives 0.
 */
export function chiSquareP(counts: readonly number[], probabilities: readonly number[]): number {
  const n = counts.reduce((a, b) => a + b, 0);
  let statistic = 0;
  let cells = 0;
  const pool = { expected: 0, observed: 0 };
  const add = (observed: number, expected: number) => {
    statistic += (observed - expected) ** 2 / expected;
    cells++;
  };
  for (const [id, p] of probabilities.entries()) {
    if (p === 0 && counts[id]! > 0) return 0;
    if (n * p >= 5) {
      add(counts[id]!, n * p);
    } else {
      pool.expected += n * p;
      pool.observed += counts[id]!;
    }
  }
  if (pool.expected >= 5) add(pool.observed, pool.expected);
  return cells > 1 ? chiSquareSurvival(statistic, cells - 1) : 1;
}

function biasOf({ logitBias }: Sampling, id: number): number {
  const bias = logitBias.get(id) ?? 0;
  const isForced = [...logitBias.values()].some((other) => other >= 100);
  return bias <= -100 || (isForced && bias < 100) ? -Infinity : bias;
}

function penaltyOf(sampling: Sampling, occurrences: number): number {
  const presence = occurrences > 0 ? sampling.presencePenalty : 0;
  return occurrences * sampling.frequencyPenalty + presence;
}

function softmax(logits: readonly number[]): number[] {
  const max = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - max));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

/** Ids from the most to the least likely; ties: the lower id first. */
function byProbability(p: readonly number[]): number[] {
  return [...p.keys()].sort((a, b) => p[b]! - p[a]! || a - b);
}

function nucleus(p: readonly number[], share: number): Set<number> {
  const kept = new Set<number>();
  let sum = 0;
  for (const id of byProbability(p)) {
    if (kept.size > 0 && sum >= share) break;
    kept.add(id);
    sum += p[id]!;
  }
  return kept;
}

function keepOnly(p: readonly number[], kept: ReadonlySet<number>): number[] {
  const total = p.reduce((sum, value, id) => sum + (kept.has(id) ? value : 0), 0);
  return p.map((value, id) => (kept.has(id) ? value / total : 0));
}

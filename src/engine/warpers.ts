/**
 * What a request may do to the model's distribution before a token is drawn, one small function
 * each; a neutral option costs nothing. Before `Support.weigh` they see logits, after it weights.
 */
import { GatewayError } from "../base/errors.ts";
import { countCutoff, massCutoff } from "./selection.ts";
import type { Support } from "./support.ts";
import type { Sampling } from "./types.ts";

/** From here on a bias means "exclusively" and, negative, "never" (OpenAI's `logit_bias`). */
const decisiveBias = 100;

/**
 * logit ← logit + bias. −100 and below bans a token; +100 and above bans all others instead.
 * Must see the whole vocabulary.
 * @throws GatewayError invalid_request when an id is outside the vocabulary.
 */
export function addBias(support: Support, bias: ReadonlyMap<number, number>): void {
  const { values, count } = support;
  for (const [id, amount] of bias) {
    if (!Number.isInteger(id) || id < 0 || id >= count) {
      const problem = `token ${id} does not exist; the vocabulary ends at ${count - 1}`;
      throw new GatewayError("invalid_request", { param: "logit_bias", problem });
    }
    values[id] = amount <= -decisiveBias ? -Infinity : values[id]! + amount;
  }
  const forced = [...bias].filter(([, amount]) => amount >= decisiveBias);
  if (forced.length === 0) return;
  const biased = forced.map(([id]) => values[id]!);
  values.fill(-Infinity, 0, count);
  forced.forEach(([id], i) => {
    values[id] = biased[i]!;
  });
}

/**
 * logit ← logit − n·frequency − [n > 0]·presence, n = earlier occurrences in the completion.
 * Must see the whole vocabulary. Source: OpenAI's API reference, "Frequency and presence penalties".
 */
export function penalizeRepetition(
  support: Support,
  occurrences: ReadonlyMap<number, number>,
  sampling: Pick<Sampling, "frequencyPenalty" | "presencePenalty">,
): void {
  const { frequencyPenalty, presencePenalty } = sampling;
  const { values } = support;
  for (const [id, n] of occurrences) values[id]! -= n * frequencyPenalty + presencePenalty;
}

/** Keeps the k largest values; ties: the lowest ids. 0 keeps all. */
export function keepTopK(support: Support, k: number): void {
  if (k === 0 || k >= support.count) return;
  support.keep(countCutoff(support.values, support.count, k, support.spare));
}

/**
 * Keeps the smallest set of largest weights whose share of the whole reaches p, at least one token;
 * ties: the lowest ids. 1 keeps all. Source: Holtzman et al., arXiv:1904.09751, §3.1.
 */
export function keepTopP(support: Support, p: number): void {
  if (p >= 1) return;
  const { values, count, spare } = support;
  support.keep(massCutoff(values, count, support.total(), p, spare));
}

/**
 * Keeps the weights of at least minP times the largest, which is 1. 0 keeps all.
 * Source: Nguyen et al., arXiv:2407.01082, §3.
 */
export function keepMinP(support: Support, minP: number): void {
  if (minP === 0) return;
  support.keep({ value: minP, ties: support.count });
}

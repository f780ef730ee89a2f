/**
 * One row of the graph's output to the next token. What a token's probability is, `warpers.ts` and
 * `support.ts` say; here is only who draws how, and what is reported about it.
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { Uniforms } from "../base/random.ts";
import { cdfBlock } from "../onnx/draw.ts";
import { largest } from "./selection.ts";
import { Support } from "./support.ts";
import type { SampledToken, Sampling, TokenLogprob } from "./types.ts";
import { addBias, keepMinP, keepTopK, keepTopP, penalizeRepetition } from "./warpers.ts";

/** The graph's output for one position. The arrays are views, read only during the call. */
export interface LogitsRow {
  /** [V], the model's own. */
  readonly logits: Float32Array;
  /** ln Σ exp(logits). */
  readonly logSumExp: number;
  /** [V] running sums of softmax(logits / temperature) within blocks of `cdfBlock(V)`; needed for plain sampling only. */
  readonly cdf: Float32Array | null;
}

/** A token that the graph drew, with the model's own log-probability of it. */
export interface DrawnRow {
  readonly drawn: TokenLogprob;
}

/** What a step gives for one sequence. */
export type StepRow = LogitsRow | DrawnRow;

/** Whether softmax(logits / temperature) is all that the options ask for, so that `cdf` suffices. */
export function isPlain(sampling: Sampling): boolean {
  return (
    sampling.temperature > 0 &&
    sampling.topK === 0 &&
    sampling.topP >= 1 &&
    sampling.minP === 0 &&
    sampling.logitBias.size === 0 &&
    !hasPenalties(sampling)
  );
}

/** Whether the most likely token is all that the options ask for. */
function isPlainlyGreedy(sampling: Sampling): boolean {
  return sampling.temperature === 0 && sampling.logitBias.size === 0 && !hasPenalties(sampling);
}

/** Draws the tokens of one completion, in order. */
export class RowSampler {
  readonly #sampling: Sampling;
  readonly #random: Uniforms;
  readonly #support: Support;
  readonly #plain: boolean;
  /** More than the token that the graph draws is wanted. */
  readonly wantsLogits: boolean;
  readonly #penalized: boolean;
  readonly #topHeap: Float64Array;
  /** Token id → occurrences in the completion so far; kept only if penalties need it. */
  readonly #occurrences = new Map<number, number>();

  /**
   * @param random one uniform per token is taken, whatever the options, so that streams agree.
   * @param support scratch; samplers that share one keep 64 rows from holding 64 vocabularies.
   */
  constructor(sampling: Sampling, random: Uniforms, support: Support = new Support()) {
    assert(isInRange(sampling), "sampling options out of range");
    this.#sampling = sampling;
    this.#random = random;
    this.#support = support;
    this.#plain = isPlain(sampling);
    this.#penalized = hasPenalties(sampling);
    for (const id of sampling.earlier ?? []) this.#count(id);
    const isDrawable = this.#plain || isPlainlyGreedy(sampling);
    this.wantsLogits = sampling.topLogprobs > 0 || !isDrawable;
    this.#topHeap = new Float64Array(sampling.topLogprobs);
  }

  /**
   * @throws GatewayError engine_failed when the model's numbers are not a distribution;
   *         invalid_request when the logit bias leaves no token.
   */
  sample(row: StepRow): SampledToken {
    const u = this.#random.uniform();
    if ("drawn" in row) {
      assert(!this.wantsLogits, "the graph drew a token that the options do not leave to it");
      return { ...row.drawn, top: [] };
    }
    const id =
      this.#plain && isUsable(row.cdf) ? drawFromCdf(row.cdf, u) : this.#drawWarped(row.logits, u);
    this.#count(id);
    return { id, logprob: logprobOf(row, id), top: this.#topLogprobs(row) };
  }

  /**
   * The logits after bias and penalties: for one who adds to them before `sampleGuided`.
   * @returns [V], the caller's own.
   * @throws as `sample` does.
   */
  adjusted(logits: Float32Array): Float64Array {
    const support = this.#support;
    this.#load(logits);
    if (support.values[support.argmax()] === -Infinity) throw nothingLeft(logits);
    return support.values.slice(0, support.count);
  }

  /**
   * Draws by temperature and filters from logits that somebody made of the `adjusted` ones. Takes one uniform, as
   * `sample` does; what is reported is the model's own.
   * @param guided [V], at least one of them above −∞.
   */
  sampleGuided(row: Omit<LogitsRow, "cdf">, guided: Float64Array): SampledToken {
    const u = this.#random.uniform();
    this.#support.load(guided);
    const id = this.#drawLoaded(u);
    assert(id !== null, "what guides left no token to draw");
    this.#count(id);
    return { id, logprob: logprobOf(row, id), top: this.#topLogprobs(row) };
  }

  #count(id: number): void {
    if (this.#penalized) this.#occurrences.set(id, (this.#occurrences.get(id) ?? 0) + 1);
  }

  #drawWarped(logits: Float32Array, u: number): number {
    this.#load(logits);
    const id = this.#drawLoaded(u);
    if (id === null) throw nothingLeft(logits);
    return id;
  }

  #load(logits: Float32Array): void {
    this.#support.load(logits);
    addBias(this.#support, this.#sampling.logitBias);
    penalizeRepetition(this.#support, this.#occurrences, this.#sampling);
  }

  /** From the logits that the support holds; null when they are all −∞. */
  #drawLoaded(u: number): number | null {
    const { temperature, topK, topP, minP } = this.#sampling;
    const support = this.#support;
    const best = support.argmax();
    const max = support.values[best]!;
    if (max === -Infinity) return null;
    if (temperature === 0) return support.ids[best]!;
    keepTopK(support, topK); // before the temperature, which changes no order: k exponentials, not V
    support.weigh(max, temperature);
    keepTopP(support, topP);
    keepMinP(support, minP);
    return support.draw(u);
  }

  /** Most likely first; ties: the lowest id. Impossible tokens are not reported. */
  #topLogprobs(row: Omit<LogitsRow, "cdf">): TokenLogprob[] {
    const k = this.#topHeap.length;
    if (k === 0) return [];
    const { logits } = row;
    return largest(logits, k, this.#topHeap)
      .filter((id) => logits[id]! > -Infinity)
      .sort((a, b) => logits[b]! - logits[a]! || a - b)
      .map((id) => ({ id, logprob: logprobOf(row, id) }));
  }
}

/** What the boundary has checked; beyond it warpers would keep nothing, or nonsense. */
function isInRange({ temperature, topK, topP, minP }: Sampling): boolean {
  const areShares = topP >= 0 && topP <= 1 && minP >= 0 && minP <= 1;
  return (
    temperature >= 0 && temperature < Infinity && Number.isInteger(topK) && topK >= 0 && areShares
  );
}

function hasPenalties({ frequencyPenalty, presencePenalty }: Sampling): boolean {
  return frequencyPenalty !== 0 || presencePenalty !== 0;
}

/** A softmax over NaN or ±Infinity is NaN everywhere; the exact path then decides what that means. */
function isUsable(cdf: Float32Array | null): cdf is Float32Array {
  return cdf !== null && Number.isFinite(cdf[cdf.length - 1]);
}

/**
 * First index at which the running sum exceeds u of the whole: blocks are summed in double precision, then one
 * block is searched. Strictly exceeds: where float32 swallowed a probability the sum does not rise, and such a
 * token is never drawn.
 */
function drawFromCdf(cdf: Float32Array, u: number): number {
  const block = cdfBlock(cdf.length);
  let total = 0;
  for (let end = block; end <= cdf.length; end += block) total += cdf[end - 1]!;
  let target = u * total;
  let start = 0; // of the last block that adds something, up to the one that holds the target
  for (let at = 0; at < cdf.length; at += block) {
    const mass = cdf[at + block - 1]!;
    if (mass > 0) start = at;
    if (target < mass) break;
    // Rounding may leave the target at the very end: then the last token that adds something is drawn.
    target = at + block < cdf.length ? target - mass : Infinity;
  }
  let low = start;
  let high = start + block - 1;
  while (high > start && cdf[high - 1]! === cdf[high]!) high--; // nothing is drawn of what adds nothing
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (cdf[middle]! > target) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** log p under the model's own distribution. Rounding in logSumExp must not make it positive. */
function logprobOf({ logits, logSumExp }: Omit<LogitsRow, "cdf">, id: number): number {
  if (Number.isFinite(logSumExp)) return Math.min(0, logits[id]! - logSumExp);
  const certain = logits.reduce((n, logit) => n + (logit === Infinity ? 1 : 0), 0);
  if (certain === 0) throw brokenModel(`the logits' log-sum-exp is ${logSumExp}`);
  return logits[id] === Infinity ? Math.log(1 / certain) : -Infinity;
}

function nothingLeft(logits: Float32Array): GatewayError {
  if (logits.every((logit) => logit === -Infinity)) return brokenModel("every logit is −Infinity");
  const problem = "it bans every token that the model could produce here";
  return new GatewayError("invalid_request", { param: "logit_bias", problem });
}

function brokenModel(problem: string): GatewayError {
  return new GatewayError("engine_failed", { problem });
}

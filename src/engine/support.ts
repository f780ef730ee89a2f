/**
 * The tokens that can still be drawn at one position, in the order of their ids, with one value
 * each: adjusted logits at first, weights once `weigh` has run. Warpers edit it in place.
 */
import { GatewayError } from "../base/errors.ts";
import type { Cutoff } from "./selection.ts";

/** Entries of exp's table per factor of two; with it a cubic leaves a relative error of 6e-16. */
const stepsPerOctave = 1024;
const lnStep = Math.LN2 / stepsPerOctave;
const stepsPerNat = stepsPerOctave / Math.LN2;
const sixth = 1 / 6;
/** 2^−1000 and less count as 0: they cannot change a draw. */
const octavesMax = 1000;
const exponentMax = octavesMax * Math.LN2;
/** 2^(−j/1024), and 2^−k: their product with a short series is exp, 3 times faster than Math.exp. */
const fractions = Float64Array.from(
  { length: stepsPerOctave },
  (_, j) => 2 ** (-j / stepsPerOctave),
);
const powers = Float64Array.from({ length: octavesMax + 1 }, (_, k) => {
  return k < octavesMax ? 2 ** -k : 0;
});

/**
 * One instance serves every sampler of an engine, for draws are synchronous and never overlap. Its
 * arrays (24 bytes a token) grow to the largest vocabulary seen and are then reused.
 */
export class Support {
  /** Ascending. */
  ids = new Int32Array(0);
  values = new Float64Array(0);
  /** For selections; no meaning between calls. */
  spare = new Float64Array(0);
  /** Only the first `count` entries of the arrays mean anything. */
  count = 0;
  #everyId = new Int32Array(0);
  #keptIds = new Int32Array(0);

  /** Starts over with the whole vocabulary. */
  load(logits: Float32Array | Float64Array): void {
    if (this.values.length < logits.length) this.#grow(logits.length);
    this.values.set(logits);
    this.ids = this.#everyId;
    this.count = logits.length;
  }

  /**
   * Position of the largest value; ties: the lowest id.
   * @throws GatewayError engine_failed when a value is NaN: every draw looks for the largest first.
   */
  argmax(): number {
    const { values, count } = this;
    let best = 0;
    let most = -Infinity;
    for (let i = 0; i < count; i++) {
      const value = values[i]!;
      if (value <= most) continue;
      if (Number.isNaN(value)) {
        const problem = `the logit of token ${this.ids[i]} is NaN`;
        throw new GatewayError("engine_failed", { problem });
      }
      most = value;
      best = i;
    }
    return best;
  }

  /** Drops what is below the cutoff; of equals the lowest ids stay. */
  keep({ value: least, ties }: Cutoff): void {
    const { ids, values, count } = this;
    const keptIds = this.#keptIds; // may be `ids` itself; entries only move down
    let kept = 0;
    let tiesLeft = ties;
    for (let i = 0; i < count; i++) {
      const value = values[i]!;
      if (value > least || (value === least && tiesLeft-- > 0)) {
        keptIds[kept] = ids[i]!;
        values[kept++] = value;
      }
    }
    this.ids = keptIds;
    this.count = kept;
  }

  /**
   * Logits to weights in place: w = exp((logit − max) / temperature), so that the largest is 1.
   * Relative error below 1e-15 · (1 + |ln w|). A logit of +Infinity is certain: those weigh 1, the
   * others 0.
   * @param max the largest of the logits, above −Infinity.
   */
  weigh(max: number, temperature: number): void {
    const { values, count } = this;
    if (max === Infinity) {
      for (let i = 0; i < count; i++) values[i] = values[i] === Infinity ? 1 : 0;
      return;
    }
    for (let i = 0; i < count; i++) {
      let y = (max - values[i]!) / temperature;
      if (y > exponentMax) y = exponentMax;
      // y = steps·lnStep − r, |r| ≤ lnStep/2; exp(−y) = 2^(−steps/1024) · exp(r)
      const steps = (y * stepsPerNat + 0.5) | 0;
      const r = steps * lnStep - y;
      const series = 1 + r * (1 + r * (0.5 + r * sixth));
      values[i] = fractions[steps & (stepsPerOctave - 1)]! * powers[steps >> 10]! * series;
    }
  }

  /** Sum of the values. */
  total(): number {
    const { values, count } = this;
    let sum = 0;
    for (let i = 0; i < count; i++) sum += values[i]!;
    return sum;
  }

  /**
   * The token at which the running sum of the weights first exceeds u of the whole: inverse CDF.
   * A token of weight 0 is never drawn.
   * @param u uniform in [0, 1).
   */
  draw(u: number): number {
    const { ids, values, count } = this;
    const target = u * this.total();
    let sum = 0;
    let i = 0;
    for (; i < count - 1; i++) {
      sum += values[i]!;
      if (sum > target) break;
    }
    return ids[i]!;
  }

  #grow(count: number): void {
    this.#everyId = Int32Array.from({ length: count }, (_, id) => id);
    this.#keptIds = new Int32Array(count);
    this.values = new Float64Array(count);
    this.spare = new Float64Array(count);
  }
}

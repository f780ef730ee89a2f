/** From judged answers to the table's numbers: means over prompts, intervals of 95 % by resampling prompts. Pure. */
import { bootstrapInterval, type Interval, meanOf } from "../../base/statistics.ts";
import type { Domain } from "../../corpus/index.ts";

/** What the numbers are made of: one prompt's. */
export interface Measured {
  readonly domain: Domain;
  readonly gold: number;
  readonly isRight: boolean;
  readonly reward: number | null;
  readonly tokens: number;
  /** null: nobody knows. */
  readonly k1: number | null;
  readonly k3: number | null;
  readonly pair: { readonly chosen: number; readonly rejected: number } | null;
}

/** A quantity, and how it differs from the base's on the same prompts. */
export interface Compared {
  readonly value: Interval;
  readonly change: Interval;
}

/** Of one policy in one domain, or in all of them. */
export interface PolicyFigures {
  readonly gold: Compared;
  /** (gold − base's)/(best-of-n's − base's); null where best-of-n gains nothing that can be told from chance. */
  readonly recovered: Interval | null;
  /** Share of right answers. */
  readonly right: Compared;
  readonly reward: Interval | null;
  /** Nats an answer. */
  readonly kl: Interval | null;
  readonly klK3: Interval | null;
  /** log π of held-out answers, nats. */
  readonly chosen: Compared | null;
  readonly rejected: Compared | null;
  readonly tokens: Interval;
}

/** All of the same prompts in the same order. */
export interface Sides {
  readonly own: readonly Measured[];
  readonly base: readonly Measured[];
  readonly best: readonly Measured[];
}

export function figuresOf({ own, base, best }: Sides): PolicyFigures {
  const compared = (of: (each: Measured) => number): Compared => ({
    value: interval(own.map(of)),
    change: interval(own.map((each, i) => of(each) - of(base[i]!))),
  });
  const likelihood = (which: "chosen" | "rejected"): Compared | null => {
    const both = own.flatMap(({ pair }, i) => {
      const reference = base[i]!.pair;
      return pair && reference ? [{ own: pair[which], reference: reference[which] }] : [];
    });
    if (both.length === 0) return null;
    return {
      value: interval(both.map((each) => each.own)),
      change: interval(both.map((each) => each.own - each.reference)),
    };
  };
  return {
    gold: compared(({ gold }) => gold),
    recovered: recoveredShare({ own, base, best }),
    right: compared(({ isRight }) => Number(isRight)),
    reward: known(own.map(({ reward }) => reward)),
    kl: known(own.map(({ k1 }) => k1)),
    klK3: known(own.map(({ k3 }) => k3)),
    chosen: likelihood("chosen"),
    rejected: likelihood("rejected"),
    tokens: interval(own.map(({ tokens }) => tokens)),
  };
}

/** Σ (own − base)/Σ (best − base) of gold, by resampling prompts, whose three answers stay together. */
export function recoveredShare({ own, base, best }: Sides): Interval | null {
  const gains = own.map(({ gold }, i) => ({
    own: gold - base[i]!.gold,
    best: best[i]!.gold - base[i]!.gold,
  }));
  if (interval(gains.map((gain) => gain.best)).low <= 0) return null;
  const share = (indices: readonly number[]) => {
    const mean = (side: "own" | "best") => meanOf(indices.map((i) => gains[i]![side]));
    return mean("own") / mean("best");
  };
  return bootstrapInterval(
    gains.map((_, i) => i),
    { seed: SEED, statistic: share },
  );
}

/** Every number of a table resamples the prompts alike. */
const SEED = 1;
const interval = (values: readonly number[]) => bootstrapInterval(values, { seed: SEED });

/** Of those that are known; null: none is. */
function known(values: readonly (number | null)[]): Interval | null {
  const found = values.filter((value) => value !== null);
  return found.length > 0 ? interval(found) : null;
}

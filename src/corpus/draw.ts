/** Draws from lists and ranges. */
import type { Random } from "../base/random.ts";

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[random.integer(list.length)]!;
}

/** Any element but the given one; the list must hold another. */
export function pickOther<T>(random: Random, list: readonly T[], not: T): T {
  return pick(
    random,
    list.filter((value) => value !== not),
  );
}

/** Uniform integer in [low, high]. */
export function between(random: Random, low: number, high: number): number {
  return low + random.integer(high - low + 1);
}

export function chance(random: Random, probability: number): boolean {
  return random.uniform() < probability;
}

/** One key with its probability; null with what is left to 1. */
export function pickWeighted<K extends string>(
  random: Random,
  weights: Readonly<Record<K, number>>,
): K | null {
  let left = random.uniform();
  for (const key in weights) {
    left -= weights[key];
    if (left < 0) return key;
  }
  return null;
}

/** Replaces each `{slot}` by its value. */
export function fill(template: string, slots: Readonly<Record<string, string | number>>): string {
  return template.replace(/\{(\w+)\}/g, (whole, slot: string) => String(slots[slot] ?? whole));
}

/** Rising curves from raw scores to calibrated ones: given by knots, or fitted to scores with known outcomes. */
import { assert } from "../base/assert.ts";
import { meanOf } from "../base/statistics.ts";

/** x, y. */
export type Knot = readonly [number, number];

/** A raw score, and what it turned out to mean. */
export interface Outcome {
  readonly score: number;
  readonly value: number;
}

/** Whether x rises strictly and y never falls. */
export function isRising(knots: readonly Knot[]): boolean {
  return knots.every(([x, y], i) => {
    const before = knots[i - 1];
    return before === undefined || (x > before[0] && y >= before[1]);
  });
}

/** Straight between knots, level beyond the first and the last; NaN stays NaN. @param knots [n ≥ 1], rising. */
export function piecewiseLinear(knots: readonly Knot[]): (x: number) => number {
  assert(knots.length > 0 && isRising(knots), "a curve rises from knot to knot");
  const [first, last] = [knots[0]!, knots.at(-1)!];
  return (x) => {
    if (Number.isNaN(x)) return x;
    if (x <= first[0]) return first[1];
    if (x >= last[0]) return last[1];
    const after = knots.findIndex(([to]) => x < to);
    const [[x0, y0], [x1, y1]] = [knots[after - 1]!, knots[after]!];
    return y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
  };
}

/**
 * Isotonic regression: the rising step function with the least Σ (value − f(score))², by pooling adjacent violators.
 * Scores that occur several times count as one with their mean value.
 * @param outcomes [n ≥ 1]
 * @returns the first and the last score of each level.
 * Source: Barlow et al. 1972, Statistical Inference under Order Restrictions, §1.2.
 */
export function fitIsotonic(outcomes: readonly Outcome[]): Knot[] {
  assert(outcomes.length > 0, "a fit needs outcomes");
  const levels: Level[] = [];
  for (const [score, values] of byScore(outcomes)) {
    const sum = values.reduce((total, value) => total + value, 0);
    let level: Level = { from: score, to: score, sum, count: values.length };
    for (
      let below = levels.at(-1);
      below && levelMean(below) >= levelMean(level);
      below = levels.at(-1)
    ) {
      levels.pop();
      level = {
        from: below.from,
        to: level.to,
        sum: below.sum + level.sum,
        count: below.count + level.count,
      };
    }
    levels.push(level);
  }
  return levels.flatMap((level): Knot[] => {
    const { from, to } = level;
    const mean = levelMean(level);
    return from === to
      ? [[from, mean]]
      : [
          [from, mean],
          [to, mean],
        ];
  });
}

interface Level {
  readonly from: number;
  readonly to: number;
  readonly sum: number;
  readonly count: number;
}

const levelMean = ({ sum, count }: Level) => sum / count;

/** Lowest score first, with the values it had. */
function byScore(outcomes: readonly Outcome[]): [number, number[]][] {
  const values = new Map<number, number[]>();
  for (const { score, value } of outcomes) values.set(score, [...(values.get(score) ?? []), value]);
  return [...values].sort(([a], [b]) => a - b);
}

export interface Logistic {
  readonly slope: number;
  readonly intercept: number;
}

/**
 * Platt's scaling: P(value = 1 | score) = σ(slope·score + intercept) of greatest likelihood, by Newton's method with
 * halved steps. Targets are (n₁ + 1)/(n₁ + 2) and 1/(n₀ + 2) instead of 1 and 0, so that the optimum is finite.
 * @param outcomes values 0 and 1, both of them, of two scores or more.
 * Sources: Platt 1999, "Probabilistic outputs for support vector machines"; Lin, Lin and Weng 2007, Machine Learning 68:267.
 */
export function fitLogistic(outcomes: readonly Outcome[]): Logistic {
  const right = outcomes.filter(({ value }) => value === 1).length;
  const wrong = outcomes.length - right;
  assert(right > 0 && wrong > 0, "Platt's scaling needs both outcomes");
  const { center, scale } = spreadOf(outcomes.map(({ score }) => score));
  assert(scale > 0, "Platt's scaling needs two scores");
  const points = outcomes.map(({ score, value }) => ({
    x: (score - center) / scale,
    target: value === 1 ? (right + 1) / (right + 2) : 1 / (wrong + 2),
  }));
  const { slope, intercept } = mostLikely(points);
  return { slope: slope / scale, intercept: intercept - (slope * center) / scale };
}

interface Point {
  readonly x: number;
  readonly target: number;
}

const NEWTON_STEPS_MAX = 100;

function mostLikely(points: readonly Point[]): Logistic {
  let at: Logistic = { slope: 0, intercept: 0 };
  for (let step = 0; step < NEWTON_STEPS_MAX; step++) {
    const { gradient, direction } = newton(points, at);
    if (Math.hypot(...gradient) < 1e-12 * points.length) break;
    const next = descended(points, at, direction);
    if (next === null) break; // as good as numbers go
    at = next;
  }
  return at;
}

/** The gradient of Σ −ln likelihood, and −H⁻¹ of it. */
function newton(points: readonly Point[], { slope, intercept }: Logistic) {
  let [g0, g1, h00, h01, h11] = [0, 0, 0, 0, 0];
  for (const { x, target } of points) {
    const p = 1 / (1 + Math.exp(-(slope * x + intercept)));
    const curvature = p * (1 - p);
    g0 += (p - target) * x;
    g1 += p - target;
    h00 += curvature * x * x;
    h01 += curvature * x;
    h11 += curvature;
  }
  h00 += 1e-12; // Lin et al.: keeps H invertible
  h11 += 1e-12;
  const determinant = h00 * h11 - h01 * h01;
  return {
    gradient: [g0, g1],
    direction: {
      slope: -(h11 * g0 - h01 * g1) / determinant,
      intercept: -(h00 * g1 - h01 * g0) / determinant,
    },
  };
}

/** The first of the step, its half, its quarter, … that is not more unlikely; near the optimum rounding hides the gain. */
function descended(points: readonly Point[], at: Logistic, direction: Logistic): Logistic | null {
  const before = unlikelihood(points, at);
  for (let size = 1; size > 1e-10; size /= 2) {
    const next = {
      slope: at.slope + size * direction.slope,
      intercept: at.intercept + size * direction.intercept,
    };
    if (unlikelihood(points, next) <= before) return next;
  }
  return null;
}

/** Σ ln(1 + eᶻ) − target·z, z = slope·x + intercept. */
function unlikelihood(points: readonly Point[], { slope, intercept }: Logistic): number {
  return points.reduce((sum, { x, target }) => {
    const z = slope * x + intercept;
    return sum + Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - target * z;
  }, 0);
}

/** Mean and standard deviation (the population's); of equal values exactly 0. @param values [n ≥ 1] */
export function spreadOf(values: readonly number[]): { center: number; scale: number } {
  const first = values[0]!;
  if (values.every((value) => value === first)) return { center: first, scale: 0 };
  const center = meanOf(values);
  const square = meanOf(values.map((value) => (value - center) ** 2));
  return { center, scale: Math.sqrt(square) };
}

/** Intervals as text. */
import type { Interval } from "../base/statistics.ts";

export const plain = ({ estimate, low, high }: Interval): string =>
  `${estimate.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;

export const percent = ({ estimate, low, high }: Interval): string =>
  `${(100 * estimate).toFixed(1)} % [${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]`;

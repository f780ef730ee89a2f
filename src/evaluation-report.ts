/** What evaluations on the command line share: a bar while they run, intervals as text when they have. */
import { SingleBar } from "cli-progress";
import type { Interval } from "./base/statistics.ts";

/** Appears with the first thing that is done. */
export function progressBar() {
  const bar = new SingleBar({
    stream: process.stderr,
    format: "{bar} {percentage} %  {eta_formatted} left",
  });
  return {
    onProgress: (done: number, total: number) => {
      if (done === 1) bar.start(total, 0);
      bar.update(done);
    },
    stop: () => bar.stop(),
  };
}

export const plain = ({ estimate, low, high }: Interval): string =>
  `${estimate.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;

export const percent = ({ estimate, low, high }: Interval): string =>
  `${(100 * estimate).toFixed(1)} % [${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]`;

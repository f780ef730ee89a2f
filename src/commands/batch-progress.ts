/** What a batch shows while it runs: a bar for each stage on a terminal, lines elsewhere; with the time left. */
import { SingleBar } from "cli-progress";
import { systemClock } from "../base/clock.ts";
import type { BatchListener } from "../jobs/batch/batch.ts";

/** Lines of a stage that nobody watches. */
const LINES = 10;

export function batchProgress({ isQuiet }: { isQuiet: boolean }): BatchListener & { stop(): void } {
  if (isQuiet) return { onProgress: () => {}, stop: () => {} };
  return process.stderr.isTTY ? onTerminal() : inLines();
}

function onTerminal() {
  let current: { readonly stage: string; readonly bar: SingleBar } | null = null;
  const stop = () => {
    current?.bar.stop();
    current = null;
  };
  return {
    stop,
    onProgress(stage: string, done: number, total: number) {
      if (current?.stage !== stage) {
        stop();
        const format = `${stage} {bar} {value}/{total}  {eta_formatted} left`;
        const bar = new SingleBar({ stream: process.stderr, format, barsize: 30, etaBuffer: 50 });
        bar.start(total, done);
        current = { stage, bar };
      }
      current.bar.update(done);
      if (done === total) stop();
    },
  };
}

function inLines() {
  let current = { stage: "", from: 0, startMs: 0 };
  return {
    stop() {},
    onProgress(stage: string, done: number, total: number) {
      const isNew = current.stage !== stage || done < current.from;
      if (isNew) current = { stage, from: done, startMs: systemClock.elapsedMs() };
      const isTold = isNew || done === total || done % Math.ceil(total / LINES) === 0;
      if (!isTold) return;
      process.stderr.write(`${stage}: ${done}/${total}${isNew ? "" : timeLeft(done, total)}\n`);
    },
  };

  function timeLeft(done: number, total: number): string {
    const perPrompt = (systemClock.elapsedMs() - current.startMs) / (done - current.from);
    return `, ${(((total - done) * perPrompt) / 60_000).toFixed(1)} min left`;
  }
}

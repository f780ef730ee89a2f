/** The numbers of every step and evaluation: a line of JSON each, and the latest for Prometheus' textfile collector. */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "../../base/atomic-file.ts";
import { systemClock } from "../../base/clock.ts";
import { isMissing } from "../../base/json-file.ts";
import type { StepReport } from "../../train/loop.ts";

export const METRICS_FILE = "metrics.jsonl";
const PROMETHEUS_FILE = "metrics.prom";
/** Prometheus reads every few seconds at most. */
const PROMETHEUS_MS = 5_000;

export interface MetricsLog {
  /** Nothing was written by this run or a former one. */
  readonly isEmpty: boolean;
  /** What an evaluation before the first step has found. */
  begin(heldOut: Readonly<Record<string, number>>): Promise<void>;
  add(report: StepReport): Promise<void>;
  /** All so far, those of former runs included. */
  lines(): readonly string[];
  close(): Promise<void>;
}

/** @param from the step that the saved state has come to: what was written after it is written again. */
export async function openMetrics(
  out: string,
  { method, steps, from }: { method: string; steps: number; from: number },
): Promise<MetricsLog> {
  const path = join(out, METRICS_FILE);
  const kept = (await linesIn(path)).filter((line) => stepOf(line) <= from);
  await writeFileAtomically(
    path,
    kept.map((line) => `${line}\n`),
  );
  const file: FileHandle = await open(path, "a");
  let [before, told] = [systemClock.elapsedMs(), Number.NEGATIVE_INFINITY];
  const write = async (lines: readonly object[]) => {
    const texts = lines.map((line) => JSON.stringify(line));
    kept.push(...texts);
    await file.appendFile(texts.map((text) => `${text}\n`).join(""));
  };
  return {
    get isEmpty() {
      return kept.length === 0;
    },
    begin: (heldOut) => write([{ step: 0, split: "held-out", ...heldOut }]),
    async add({ step, metrics, heldOut, tokens }) {
      const now = systemClock.elapsedMs();
      const seconds = (now - before) / 1000;
      before = now;
      const train = { step, split: "train", ...metrics, tokens, seconds };
      await write(heldOut ? [train, { step, split: "held-out", ...heldOut }] : [train]);
      if (now - told < PROMETHEUS_MS && step < steps) return;
      told = now;
      const text = prometheusText(
        method,
        { step, steps, tokensPerSecond: tokens / seconds },
        { metrics, heldOut },
      );
      await writeFileAtomically(join(out, PROMETHEUS_FILE), [text]);
    },
    lines: () => kept,
    close: () => file.close(),
  };
}

function prometheusText(
  method: string,
  { step, steps, tokensPerSecond }: { step: number; steps: number; tokensPerSecond: number },
  { metrics, heldOut }: Pick<StepReport, "metrics" | "heldOut">,
): string {
  const gauge = (name: string, help: string, values: readonly [labels: string, value: number][]) =>
    [
      `# HELP plumbline_training_${name} ${help}`,
      `# TYPE plumbline_training_${name} gauge`,
      ...values.map(
        ([labels, value]) => `plumbline_training_${name}{method="${method}"${labels}} ${value}`,
      ),
      "",
    ].join("\n");
  const values = (split: string, of: Readonly<Record<string, number>>) =>
    Object.entries(of).map(([name, value]): [string, number] => [
      `,split="${split}",metric="${name}"`,
      value,
    ]);
  return [
    gauge("step", "Steps taken.", [["", step]]),
    gauge("steps", "Steps in all.", [["", steps]]),
    gauge("tokens_per_second", "Of the last step.", [["", tokensPerSecond]]),
    gauge("value", "What the last step, or the last evaluation, reported.", [
      ...values("train", metrics),
      ...(heldOut ? values("held-out", heldOut) : []),
    ]),
  ].join("");
}

/** A line that a kill has cut off is none. */
async function linesIn(path: string): Promise<string[]> {
  try {
    const text = await readFile(path, "utf8");
    return text.split("\n").slice(0, -1);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

const stepOf = (line: string) => (JSON.parse(line) as { step: number }).step; // written here

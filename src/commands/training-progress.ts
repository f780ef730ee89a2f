/** What a training shows while it runs: a bar with the curve of the loss on a terminal, lines elsewhere. */
import { SingleBar } from "cli-progress";
import { systemClock } from "../base/clock.ts";
import type { TrainingListener } from "../jobs/training/train.ts";

/** Lines of a training that nobody watches. */
const LINES = 20;
const CURVE_COLUMNS = 24;

export function trainingProgress({ isQuiet }: { isQuiet: boolean }): {
  readonly listener: TrainingListener;
  stop(): void;
} {
  return process.stderr.isTTY && !isQuiet ? onTerminal() : inLines(isQuiet);
}

function onTerminal() {
  let bar = newBar("references {bar} {percentage} %  {eta_formatted} left");
  const losses: number[] = [];
  let hasReferences = false;
  let speed = createSpeed();
  const listener: TrainingListener = {
    onStart(plan) {
      process.stderr.write(`${planText(plan)}\n`);
      speed = createSpeed();
      total = plan.steps;
      start = plan.startStep;
    },
    onReferences(done, of) {
      if (done === 1) bar.start(of, 0);
      hasReferences = true;
      bar.update(done);
    },
    onStep({ step, metrics, tokens, heldOut }) {
      if (losses.length === 0) {
        if (hasReferences) bar.stop();
        bar = newBar(
          "{bar} {value}/{total}  {curve}  loss {loss}{held}  {speed} tokens/s  {eta_formatted} left",
        );
        bar.start(total, start, { curve: "", loss: "", held: "", speed: "" });
      }
      losses.push(metrics["loss"]!);
      if (heldOut) held = `, held out ${heldOut["loss"]!.toPrecision(4)}`;
      bar.update(step, {
        curve: sparkline(losses, CURVE_COLUMNS),
        loss: metrics["loss"]!.toPrecision(4),
        held,
        speed: Math.round(speed(tokens)),
      });
    },
  };
  let [total, start, held] = [0, 0, ""];
  return { listener, stop: () => bar.stop() };
}

const newBar = (format: string) =>
  new SingleBar({ stream: process.stderr, format, barsize: 20, etaBuffer: 50 });

function inLines(isQuiet: boolean) {
  const say = (line: string) => {
    if (!isQuiet) process.stderr.write(`${line}\n`);
  };
  const speed = createSpeed();
  const started = systemClock.elapsedMs();
  let [steps, start] = [1, 0];
  const listener: TrainingListener = {
    onStart(plan) {
      say(planText(plan));
      [steps, start] = [plan.steps, plan.startStep];
    },
    onReferences(done, total) {
      if (done === total) say(`references: ${total} passes done`);
    },
    onStep({ step, metrics, tokens, heldOut }) {
      const tokensPerSecond = speed(tokens);
      const isTold = step % Math.ceil(steps / LINES) === 0 || step === steps || heldOut;
      if (!isTold) return;
      const seconds = (systemClock.elapsedMs() - started) / 1000;
      const minutesLeft = ((seconds / (step - start)) * (steps - step)) / 60;
      const held = heldOut ? heldOutText(heldOut) : "";
      const numbers = Object.entries(metrics).map(
        ([name, value]) => `${name} ${Number(value.toPrecision(4))}`,
      );
      say(
        `${step}/${steps}  ${numbers.join("  ")}${held}  ${Math.round(tokensPerSecond)} tokens/s  ${minutesLeft.toFixed(1)} min left`,
      );
    },
  };
  return { listener, stop: () => {} };
}

/** Of what an evaluation found those numbers that say how good the model is. */
function heldOutText(heldOut: Readonly<Record<string, number>>): string {
  const told = ["loss", "reward", "gold", "accuracy"].filter((name) => name in heldOut);
  return told.map((name) => `  held-out ${name} ${heldOut[name]!.toPrecision(4)}`).join("");
}

function planText({
  steps,
  startStep,
  examples,
  heldOut,
  dropped,
  neededBytes,
}: Parameters<TrainingListener["onStart"]>[0]): string {
  const left = Object.entries(dropped).map(([why, rows]) => `; ${rows} left out: ${why}`);
  const resumed = startStep > 0 ? `, going on after step ${startStep}` : "";
  return `${examples} examples, ${heldOut} held out${left.join("")}; ${steps} steps${resumed}; about ${(neededBytes / 2 ** 30).toFixed(2)} GiB`;
}

/** Tokens per second since the first call, and since the last 20 after that. */
function createSpeed(): (tokens: number) => number {
  const seen: { at: number; tokens: number }[] = [{ at: systemClock.elapsedMs(), tokens: 0 }];
  return (tokens) => {
    seen.push({ at: systemClock.elapsedMs(), tokens });
    if (seen.length > 21) seen.shift();
    const total = seen.slice(1).reduce((sum, each) => sum + each.tokens, 0);
    return (1000 * total) / (seen.at(-1)!.at - seen[0]!.at);
  };
}

const BLOCKS = "▁▂▃▄▅▆▇█";

/** Means of equal stretches, from the lowest to the highest of them. */
export function sparkline(values: readonly number[], columns: number): string {
  const width = Math.min(columns, values.length);
  const means = Array.from({ length: width }, (_, i) => {
    const part = values.slice(
      Math.floor((i * values.length) / width),
      Math.floor(((i + 1) * values.length) / width),
    );
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const level = (mean: number) =>
    high > low ? Math.round(((mean - low) / (high - low)) * (BLOCKS.length - 1)) : 0;
  return means.map((mean) => BLOCKS[level(mean)]).join("");
}

/** One training stage: steps with progress, checkpoints, and resumption after a kill. */

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import type { Runtime } from "../../src/onnx/runtime/index.ts";
import type { StepData } from "../../src/train/batches.ts";
import { runLoop, type StepReport } from "../../src/train/loop.ts";
import { Trainer, type TrainerOptions, type TrainingState } from "../../src/train/trainer.ts";
import { loadState, weightsOf } from "../../src/train/training-state.ts";

const CHECKPOINT_EVERY = 50;
const REPORT_EVERY = 10;

export interface Stage {
  readonly name: string;
  readonly steps: number;
  readonly checkpoint: string;
  readonly trainer: TrainerOptions;
  readonly initial: TrainingState;
  /** The same batches in the same order every time it is called. */
  readonly batches: () => Iterator<StepData, never>;
}

/** Runs a stage to its end, from its checkpoint where there is one. @returns the trained weights. */
export async function runStage(runtime: Runtime, stage: Stage): Promise<Map<string, Float32Array>> {
  const saved = existsSync(stage.checkpoint) ? await loadState(stage.checkpoint) : null;
  await mkdir(dirname(stage.checkpoint), { recursive: true });
  if (saved) console.log(`${stage.name}: resuming after step ${saved.step}`);
  if (saved && saved.step >= stage.steps) return weightsOf(saved.state);
  const trainer = await Trainer.create(
    runtime,
    stage.trainer,
    saved?.state ?? stage.initial,
    saved?.step ?? 0,
  );
  const batches = stage.batches();
  for (let skipped = 0; skipped < trainer.step; skipped++) batches.next();
  const progress = createProgress(stage, trainer.step);
  await runLoop(trainer, {
    steps: stage.steps,
    passes: () => [{ data: batches.next().value, share: 1 }],
    checkpointEvery: CHECKPOINT_EVERY,
    statePath: stage.checkpoint,
    onStep: progress,
  });
  const weights = weightsOf(trainer.state());
  trainer.dispose();
  return weights;
}

function createProgress(stage: Stage, startStep: number) {
  const started = systemClock.elapsedMs();
  let tokens = 0;
  return ({ step, tokens: stepTokens, metrics }: StepReport) => {
    tokens += stepTokens;
    if (step % REPORT_EVERY && step !== stage.steps) return;
    const seconds = (systemClock.elapsedMs() - started) / 1000;
    const minutesLeft = ((seconds / (step - startStep)) * (stage.steps - step)) / 60;
    const values = Object.entries(metrics).map(
      ([name, value]) => `${name} ${Number(value.toPrecision(4))}`,
    );
    console.log(
      `${stage.name} ${step}/${stage.steps}  ${values.join("  ")}  ${Math.round(tokens / seconds)} tokens/s  ${minutesLeft.toFixed(1)} min left`,
    );
  };
}

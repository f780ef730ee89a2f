/** One training stage: steps with progress, checkpoints, and resumption after a kill. */

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import {
  readSafetensors,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "../../src/checkpoints/safetensors.ts";
import type { Runtime } from "../../src/onnx/runtime/index.ts";
import type { StepData } from "../../src/train/batches.ts";
import { Trainer, type TrainerOptions, type TrainingState } from "../../src/train/trainer.ts";
import { momentNames } from "../../src/train/training-graph.ts";

const CHECKPOINT_EVERY = 50;
const REPORT_EVERY = 10;
/** The number of steps taken, kept among the tensors. */
const STEP = "step";

export interface Stage {
  readonly name: string;
  readonly steps: number;
  readonly checkpoint: string;
  readonly trainer: TrainerOptions;
  readonly initial: TrainingState;
  /** The same batches in the same order every time it is called. */
  readonly batches: () => Iterator<StepData>;
}

/** Runs a stage to its end, from its checkpoint where there is one. @returns the trained weights. */
export async function runStage(runtime: Runtime, stage: Stage): Promise<Map<string, Float32Array>> {
  const saved = await loadCheckpoint(stage.checkpoint);
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
  while (trainer.step < stage.steps) {
    const data: StepData = batches.next().value;
    const metrics = await trainer.run(data);
    progress(trainer.step, data.packed.ids.length, metrics);
    if (trainer.step % CHECKPOINT_EVERY === 0) await saveCheckpoint(stage.checkpoint, trainer);
  }
  await saveCheckpoint(stage.checkpoint, trainer);
  const weights = weightsOf(trainer.state());
  trainer.dispose();
  return weights;
}

/** A training state without its moments and step. */
function weightsOf(state: TrainingState): Map<string, Float32Array> {
  return new Map([...state].filter(([name]) => !/^(first\.|second\.|step$)/.test(name)));
}

/** Written beside and renamed: a kill leaves the old checkpoint or the new one. */
async function saveCheckpoint(path: string, trainer: Trainer): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const state = trainer.state();
  const shapes = new Map(
    trainer.weights.flatMap(({ name, shape }) => {
      const { first, second } = momentNames(name);
      return [name, first, second].map((each) => [each, shape] as const);
    }),
  );
  const tensors = new Map<string, StoredTensor>(
    [...state].map(([name, values]) => [
      name,
      { dtype: "F32", shape: shapes.get(name)!, data: bytesOf(values) },
    ]),
  );
  tensors.set(STEP, { dtype: "F64", shape: [1], data: bytesOf(Float64Array.of(trainer.step)) });
  await writeSafetensors(path, tensors);
}

async function loadCheckpoint(
  path: string,
): Promise<{ step: number; state: TrainingState } | null> {
  if (!existsSync(path)) return null;
  const tensors = await readSafetensors(path);
  const state = new Map([...tensors].map(([name, tensor]) => [name, toFloat32(tensor)]));
  return { step: state.get(STEP)![0]!, state };
}

function bytesOf(values: Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function createProgress(stage: Stage, startStep: number) {
  const started = systemClock.elapsedMs();
  let tokens = 0;
  return (step: number, stepTokens: number, metrics: Record<string, number>) => {
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

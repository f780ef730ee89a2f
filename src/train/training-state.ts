/** What a training goes on from, as one file: weights, moments, the number of steps taken and what the loop remembers. */
import {
  readSafetensors,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "../checkpoints/safetensors.ts";
import { type Trainer, type TrainingState, withMoments } from "./trainer.ts";
import { momentNames, type TrainedWeight } from "./training-graph.ts";

/** Numbers kept among the tensors, in double precision. */
const STEP = "step";
const note = (name: string) => `note.${name}`;

export interface SavedState {
  readonly step: number;
  readonly state: TrainingState;
  readonly notes: Readonly<Record<string, number>>;
}

/** Written beside and renamed: a kill leaves the old state or the new one. @param notes kept exactly. */
export async function saveState(
  path: string,
  trainer: Trainer,
  notes: Readonly<Record<string, number>> = {},
): Promise<void> {
  const tensors = stored(withMoments(trainer.weights), trainer.values());
  const numbers = Object.entries(notes).map(([name, value]) => [note(name), value] as const);
  for (const [name, value] of [...numbers, [STEP, trainer.step] as const])
    tensors.set(name, { dtype: "F64", shape: [1], data: bytesOf(Float64Array.of(value)) });
  await writeSafetensors(path, tensors);
}

/** Weights alone. */
export async function saveWeights(path: string, trainer: Trainer): Promise<void> {
  await writeSafetensors(path, stored(trainer.weights, trainer.values()));
}

/** @throws GatewayError checkpoint_invalid when the file is missing or faulty. */
export async function loadState(path: string): Promise<SavedState> {
  const tensors = [...(await readSafetensors(path))];
  const notes = tensors.flatMap(([name, { dtype, data }]) =>
    dtype === "F64" ? [[name, new Float64Array(data.slice().buffer)[0]!] as const] : [],
  );
  const { [STEP]: step = 0, ...others } = Object.fromEntries(notes);
  return {
    step,
    state: new Map(
      tensors.flatMap(([name, tensor]) =>
        tensor.dtype === "F64" ? [] : [[name, toFloat32(tensor)] as const],
      ),
    ),
    notes: Object.fromEntries(
      Object.entries(others).map(([name, value]) => [name.slice(note("").length), value]),
    ),
  };
}

/** A training state without its moments. */
export function weightsOf(state: TrainingState): Map<string, Float32Array> {
  const moments = new Set([...state.keys()].flatMap((name) => Object.values(momentNames(name))));
  return new Map([...state].filter(([name]) => !moments.has(name)));
}

function stored(named: readonly TrainedWeight[], values: TrainingState): Map<string, StoredTensor> {
  return new Map(
    named.map(({ name, shape }) => [
      name,
      { dtype: "F32", shape, data: bytesOf(values.get(name)!) },
    ]),
  );
}

function bytesOf(values: Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

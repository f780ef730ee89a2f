/**
 * The adapters of one model, side by side: each has some columns of the matrices that all of them share, so that
 * rows of any adapter, and of none, run in one batch.
 */
import { assert } from "../base/assert.ts";
import type { LoraAdapter, LoraMatrix } from "../checkpoints/adapter.ts";
import type { Runtime, Tensor } from "../onnx/runtime/index.ts";
import type { Device } from "./device.ts";

export interface NamedAdapter extends LoraAdapter {
  readonly id: string;
}

export class AdapterBank {
  readonly adapters: readonly NamedAdapter[];
  /** Columns of all adapters. */
  readonly rank: number;
  /** Modules that any of them adapts, in order. */
  readonly modules: readonly string[];
  /** The graph's inputs that do not change from step to step. */
  readonly tensors: Record<string, Tensor>;
  readonly #columns = new Map<string, { start: number; end: number }>();

  constructor(runtime: Runtime, adapters: readonly NamedAdapter[]) {
    assert(adapters.length > 0, "a bank needs an adapter");
    this.adapters = adapters;
    let rank = 0;
    for (const { id, matrices } of adapters) {
      const start = rank;
      rank += Math.max(0, ...[...matrices.values()].map((matrix) => matrix.rank));
      this.#columns.set(id, { start, end: rank });
    }
    this.rank = rank;
    this.modules = [...new Set(adapters.flatMap(({ matrices }) => [...matrices.keys()]))].sort();
    this.tensors = Object.fromEntries(
      this.modules.flatMap((module) => this.#joined(runtime, module)),
    );
  }

  /** Writes a row of `adapter_columns`. @throws InvariantError for an adapter that is not here. */
  writeColumns(columns: Float32Array, row: number, id: string | null): void {
    const start = row * this.rank;
    columns.fill(0, start, start + this.rank);
    if (id === null) return;
    const own = this.#columns.get(id);
    assert(own, `the adapter '${id}' is not loaded`);
    columns.fill(1, start + own.start, start + own.end);
  }

  /**
   * Takes an adapter's matrices anew, in place: the next run has them. In ordinary memory only.
   * @throws InvariantError for one that is not here.
   */
  refresh(adapter: NamedAdapter): void {
    const own = this.#columns.get(adapter.id);
    assert(own, `the adapter '${adapter.id}' is not loaded`);
    for (const [module, matrix] of adapter.matrices) {
      const [a, b] = [`${module}.lora_a`, `${module}.lora_b`].map((name) => {
        const data = this.tensors[name]?.data;
        assert(data instanceof Float32Array, `the bank has no matrices of ${module}`);
        return data;
      }) as [Float32Array, Float32Array];
      fill({ a, b }, matrix, { start: own.start });
    }
  }

  /** Moves the matrices to a device's memory. */
  async upload(device: Device): Promise<void> {
    for (const [name, tensor] of Object.entries(this.tensors)) {
      this.tensors[name] = await device.upload(tensor);
    }
  }

  dispose(): void {
    for (const tensor of Object.values(this.tensors)) tensor.dispose();
  }

  /** A and B of all adapters of a module, the scale within B; zeros for those that do not adapt it. */
  #joined(runtime: Runtime, module: string): [string, Tensor][] {
    const found = this.adapters.flatMap(({ id, matrices }) => {
      const matrix = matrices.get(module);
      return matrix ? [{ matrix, start: this.#columns.get(id)!.start }] : [];
    });
    const { inputs, outputs } = found[0]!.matrix;
    const a = new Float32Array(this.rank * inputs);
    const b = new Float32Array(this.rank * outputs);
    for (const { matrix, start } of found) fill({ a, b }, matrix, { start });
    return [
      [`${module}.lora_a`, runtime.tensor("float32", [this.rank, inputs], a)],
      [`${module}.lora_b`, runtime.tensor("float32", [this.rank, outputs], b)],
    ];
  }
}

/** Writes an adapter's columns, from the `start`-th on. */
function fill(
  { a, b }: { readonly a: Float32Array; readonly b: Float32Array },
  matrix: LoraMatrix,
  { start }: { readonly start: number },
): void {
  const { rank, inputs, outputs, scale } = matrix;
  a.set(matrix.a, start * inputs);
  for (let k = 0; k < rank; k++) {
    for (let output = 0; output < outputs; output++) {
      b[(start + k) * outputs + output] = scale * matrix.b[output * rank + k]!;
    }
  }
}

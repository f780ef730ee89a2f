/** A model and a LoRA adapter of it as one model: W + s·B·A in place of each adapted matrix W. */
import { join } from "node:path";
import { Type } from "typebox";
import { readCheckpointJson } from "../base/json-file.ts";
import { type LoraAdapter, type LoraMatrix, readAdapter } from "./adapter.ts";
import { Checkpoint } from "./checkpoint.ts";
import { type ModelConfig, withScalarHead } from "./config.ts";
import { writeModelFolder } from "./model-folder.ts";

/**
 * Writes a folder as the base's, with the adapter within its matrices; an adapter of a sequence classifier makes
 * a reward model of a language model. Each sum is rounded once, to the format that the base is stored in.
 * @param out must not exist, or be empty.
 * @throws GatewayError checkpoint_invalid and architecture_unsupported for what cannot be read, or an adapter
 * of another model; invalid_request and export_failed for what cannot be written.
 */
export async function mergeAdapter(base: string, adapter: string, out: string): Promise<void> {
  const checkpoint = await Checkpoint.open(base);
  const { task_type: task } = await readCheckpointJson(join(adapter, "adapter_config.json"), Kind);
  const config = configFor(task, checkpoint.config);
  const weights = await readAdapter(adapter, config);
  await writeModelFolder(out, {
    base: checkpoint,
    config,
    weight: (name) => mergedWeight(checkpoint, weights, name),
  });
}

function configFor(task: unknown, base: ModelConfig): ModelConfig {
  const isScorer = task === "SEQ_CLS" && base.task === "generation";
  return (isScorer && withScalarHead(base)) || base; // `readAdapter` refuses a head that the model has not
}

const Kind = Type.Object({ task_type: Type.Optional(Type.Unknown()) });

/** @returns null for a weight that the adapter leaves as it is. @throws as `Checkpoint.weight`. */
export function mergedWeight(
  base: Pick<Checkpoint, "weight">,
  { matrices, head }: Pick<LoraAdapter, "matrices" | "head">,
  name: string,
): Float32Array | null {
  const matrix = matrices.get(name.replace(/\.weight$/, ""));
  return matrix ? sumOf(base.weight(name).data, matrix) : (head?.get(name) ?? null);
}

/** W + s·B·A, a row at a time, each added up in double. @param matrix W: [outputs, inputs]. */
function sumOf(matrix: Float32Array, { rank, inputs, outputs, scale, a, b }: LoraMatrix) {
  const sum = new Float32Array(matrix.length);
  const row = new Float64Array(inputs);
  for (let output = 0; output < outputs; output++) {
    row.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = scale * b[output * rank + k]!;
      const from = k * inputs;
      for (let i = 0; i < inputs; i++) row[i]! += factor * a[from + i]!;
    }
    const start = output * inputs;
    for (let i = 0; i < inputs; i++) sum[start + i] = matrix[start + i]! + row[i]!;
  }
  return sum;
}

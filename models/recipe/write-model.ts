/** One embedded model's folder: configuration, weights in float16, and the tokenizer. */
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type ModelConfig, writeModelConfig } from "../../src/checkpoints/config.ts";
import { toFloat16 } from "../../src/checkpoints/float16.ts";
import { type StoredTensor, writeSafetensors } from "../../src/checkpoints/safetensors.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";

export async function writeModel(
  folder: string,
  config: ModelConfig,
  weights: ReadonlyMap<string, Float32Array>,
  tokenizerFolder: string,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeModelConfig(folder, config);
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) {
    await copyFile(join(tokenizerFolder, file), join(folder, file));
  }
  const tensors = new Map<string, StoredTensor>();
  for (const [name, shape] of weightShapes(config)) {
    const halves = toFloat16(weights.get(name)!);
    tensors.set(name, { dtype: "F16", shape, data: new Uint8Array(halves.buffer) });
  }
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { format: "pt" });
}

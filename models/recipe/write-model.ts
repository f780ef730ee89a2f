/** One embedded model's folder: a checkpoint in float16, and the tokenizer. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { writeCheckpoint } from "../../src/checkpoints/checkpoint.ts";
import type { ModelConfig } from "../../src/checkpoints/config.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";

export async function writeModel(
  folder: string,
  config: ModelConfig,
  weights: ReadonlyMap<string, Float32Array>,
  tokenizerFolder: string,
): Promise<void> {
  const shaped = [...weightShapes(config)].map(
    ([name, shape]) => [name, { shape, data: weights.get(name)! }] as const,
  );
  await writeCheckpoint(folder, config, new Map(shaped), { dtype: "F16" });
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) {
    await copyFile(join(tokenizerFolder, file), join(folder, file));
  }
}

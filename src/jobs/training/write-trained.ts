/** A trained model's folder: the checkpoint with its tokenizer, then the report and the card, `config.json` last. */
import { mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { writeCheckpoint } from "../../checkpoints/checkpoint.ts";
import { copyTokenizer } from "../../checkpoints/tokenizer-copy.ts";
import { weightShapes } from "../../checkpoints/weight-shapes.ts";
import type { TrainingState } from "../../train/trainer.ts";
import type { Base } from "./base.ts";
import type { TrainingOptions } from "./options.ts";
import type { PreparedData } from "./prepare.ts";
import type { TrainingSummary } from "./train.ts";

export interface Trained {
  readonly options: TrainingOptions;
  readonly base: Base;
  readonly prepared: PreparedData;
  readonly weights: TrainingState;
  readonly summary: TrainingSummary;
  /** Of `metrics.jsonl`. */
  readonly lines: readonly Readonly<Record<string, number | string>>[];
}

/** Without it no loader takes the folder for a model. */
const LAST = "config.json";

/** @param folder where the files are put together; then each moves to its place. */
export async function writeTrained(folder: string, trained: Trained): Promise<void> {
  const { base, options, weights } = trained;
  await mkdir(folder, { recursive: true });
  const shaped = [...weightShapes(base.config)].map(
    ([name, shape]) => [name, { shape, data: weights.get(name)! }] as const,
  );
  const dtype = options.dtype === "float32" ? "F32" : "F16";
  await writeCheckpoint(folder, base.config, new Map(shaped), { dtype });
  await copyTokenizer(base.folder, folder);
  const names = (await readdir(folder)).filter((name) => name !== LAST);
  for (const name of [...names, LAST]) await rename(join(folder, name), join(options.out, name));
}

/**
 * A whole model as a Hugging Face folder that `Checkpoint.open`, Python's transformers and vLLM load: configuration,
 * tokenizer, and weights in the number formats of the model that it was made from.
 */
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { writeFileAtomically } from "../base/atomic-file.ts";
import { GatewayError } from "../base/errors.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { type ConfigFiles, dtypeKey, type ModelConfig, writeModelConfig } from "./config.ts";
import { writeNewFolder } from "./new-folder.ts";
import {
  type Dtype,
  fromFloat32,
  type TensorSource,
  writeSafetensorsFolder,
} from "./safetensors.ts";
import { copyTokenizer } from "./tokenizer-copy.ts";
import { weightShapes } from "./weight-shapes.ts";

export interface ModelFolder {
  /** Its tokenizer, number formats and generation settings are taken. */
  readonly base: Checkpoint;
  /** Of all weights; the base's of each, where nothing is said. */
  readonly dtype?: "F32" | "F16" | "BF16" | undefined;
  /** The base's, unless it became another kind of model. */
  readonly config?: ModelConfig;
  /** A weight's new values, asked for when it is written; null: those of the base, as they are stored. */
  readonly weight: (name: string) => Float32Array | null;
  /** The text of README.md: the model card. */
  readonly card?: string | undefined;
  /** Of weights in one file. */
  readonly fileBytesMax?: number;
}

/**
 * Writes the folder whole or not at all.
 * @param out must not exist, or be empty.
 * @throws GatewayError invalid_request for a folder that holds something; export_failed when it cannot be written,
 * or a value is not finite in the format it is stored in.
 */
export async function writeModelFolder(out: string, model: ModelFolder): Promise<void> {
  await writeNewFolder(out, (folder) => fillModelFolder(folder, model));
}

/** The same into a folder that exists. @throws GatewayError export_failed for a value; else as the file system does. */
export async function fillModelFolder(folder: string, model: ModelFolder): Promise<void> {
  const { base, config = base.config, card, fileBytesMax } = model;
  await writeModelConfig(folder, withDtype(config.files, model));
  await copyTokenizer(base.folder, folder);
  await writeSafetensorsFolder(folder, tensorsOf(folder, model), fileBytesMax);
  if (card) await writeFileAtomically(join(folder, "README.md"), [card]);
}

function withDtype({ config, generation }: ConfigFiles, { dtype }: ModelFolder): ConfigFiles {
  if (dtype === undefined) return { config, generation };
  const name = { F32: "float32", F16: "float16", BF16: "bfloat16" }[dtype];
  return { config: { ...config, [dtypeKey(config)]: name }, generation };
}

function tensorsOf(path: string, model: ModelFolder): Map<string, TensorSource> {
  const { base, config = base.config, weight } = model;
  const known = new Set(base.names);
  const tensors = new Map<string, TensorSource>();
  for (const [name, shape] of weightShapes(config)) {
    const isNew = !known.has(name);
    const before = base.stored(isNew ? base.names[0]! : name);
    const dtype = model.dtype ?? before.dtype;
    const bytes = () => {
      const values = weight(name);
      assert(values !== null || !isNew, `'${name}' has no values`);
      if (values === null && dtype === before.dtype) return before.data;
      return stored(path, { name, dtype, values: values ?? base.weight(name).data });
    };
    tensors.set(name, { dtype, shape, bytes });
  }
  return tensors;
}

/** What is not smaller would be rounded to infinity: the largest number and half a unit of its last place. */
const limits: { readonly [D in Dtype]?: number } = { F16: 65_520, BF16: 2 ** 128 - 2 ** 119 };

function stored(
  path: string,
  { name, dtype, values }: { name: string; dtype: Dtype; values: Float32Array },
): Uint8Array {
  const limit = limits[dtype] ?? Number.POSITIVE_INFINITY;
  const at = values.findIndex((value) => !(Math.abs(value) < limit));
  if (at < 0) return fromFloat32(values, dtype);
  const problem = `${name} holds ${values[at]} at index ${at}, which ${dtype} cannot hold`;
  throw new GatewayError("export_failed", { path, problem });
}

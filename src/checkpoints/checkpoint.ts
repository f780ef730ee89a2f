/**
 * One model in a folder: `config.json` and its weights, checked against each other. Knows nothing of
 * tokenizers and of how the model is computed.
 */

import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import {
  type ConfigFiles,
  dtypeKey,
  type ModelConfig,
  readModelConfig,
  writeModelConfig,
} from "./config.ts";
import {
  fromFloat32,
  readSafetensorsFolder,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "./safetensors.ts";
import { weightShapes } from "./weight-shapes.ts";

export interface Weight {
  shape: readonly number[];
  /** [product of shape] */
  data: Float32Array;
}

export class Checkpoint {
  readonly folder: string;
  readonly config: ModelConfig;
  readonly #tensors: ReadonlyMap<string, StoredTensor>;

  /**
   * @throws GatewayError checkpoint_invalid when a file is missing or corrupt, or when the tensors are
   * not those that the configuration needs; architecture_unsupported for another model.
   */
  static async open(folder: string): Promise<Checkpoint> {
    const config = await readModelConfig(folder);
    const tensors = await readSafetensorsFolder(folder);
    const problem = mismatch(weightShapes(config), tensors, config);
    if (problem === null) return new Checkpoint(folder, config, tensors);
    throw new GatewayError("checkpoint_invalid", {
      path: folder,
      problem,
      remedy: "Copy config.json and the safetensors files from the same revision of the model.",
    });
  }

  private constructor(
    folder: string,
    config: ModelConfig,
    tensors: ReadonlyMap<string, StoredTensor>,
  ) {
    this.folder = folder;
    this.config = config;
    this.#tensors = tensors;
  }

  /** The names of the weights that the architecture uses, from input to output. */
  get names(): string[] {
    return [...weightShapes(this.config).keys()];
  }

  /** A weight as it is stored. @throws InvariantError for a name not in `names`. */
  stored(name: string): StoredTensor {
    const tensor = this.#tensors.get(name);
    assert(tensor, `The checkpoint ${this.folder} has no weight '${name}'`);
    return tensor;
  }

  /**
   * A weight as float32, converted anew on each call; float32 weights share the file's memory.
   * @throws GatewayError checkpoint_invalid when a value is NaN or infinite.
   */
  weight(name: string): Weight {
    const tensor = this.stored(name);
    const data = toFloat32(tensor);
    refuseBroken(this.folder, name, data);
    return { shape: tensor.shape, data };
  }

  /** All weights as float32, by name. */
  weights(): Map<string, Weight> {
    return new Map(this.names.map((name) => [name, this.weight(name)]));
  }
}

function refuseBroken(path: string, name: string, data: Float32Array): void {
  let at = 0;
  while (at < data.length && Number.isFinite(data[at])) at++;
  if (at === data.length) return;
  throw new GatewayError("checkpoint_invalid", {
    path,
    problem: `${name} holds ${data[at]} at index ${at}`,
    remedy: "The training diverged or the file was damaged: take an earlier revision of the model.",
  });
}

/**
 * Writes a folder that `Checkpoint.open` and Python's transformers read; each file is replaced whole.
 * @throws InvariantError when the weights are not exactly those of `weightShapes(config)`.
 */
export async function writeCheckpoint(
  folder: string,
  config: ModelConfig,
  weights: ReadonlyMap<string, Weight>,
  { dtype }: { dtype: "F16" | "F32" },
): Promise<void> {
  const shapes = weightShapes(config);
  const stray = [...weights.keys()].find((name) => !shapes.has(name));
  assert(stray === undefined, `'${stray}' is not a weight of this configuration`);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, shape] of shapes) {
    const weight = weights.get(name);
    assert(
      weight && isSameShape(weight.shape, shape),
      `'${name}' must have the shape [${shape.join()}]`,
    );
    tensors.set(name, { dtype, shape, data: fromFloat32(weight.data, dtype) });
  }
  await writeModelConfig(folder, withDtype(config.files, dtype === "F16" ? "float16" : "float32"));
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { format: "pt" });
}

function withDtype({ config, generation }: ConfigFiles, name: string): ConfigFiles {
  return { config: { ...config, [dtypeKey(config)]: name }, generation };
}

/** What is wrong with the tensors, or null. */
function mismatch(
  shapes: ReadonlyMap<string, readonly number[]>,
  tensors: ReadonlyMap<string, StoredTensor>,
  config: ModelConfig,
): string | null {
  const missing = [...shapes.keys()].filter((name) => !tensors.has(name));
  if (missing.length > 0) return `missing tensors: ${shortened(missing)}`;
  const misshapen = [...shapes].flatMap(([name, shape]) => {
    const found = tensors.get(name)!;
    return isSameShape(found.shape, shape)
      ? []
      : [`${name} is [${found.shape.join()}] instead of [${shape.join()}]`];
  });
  if (misshapen.length > 0) return `wrong shapes: ${shortened(misshapen)}`;
  const integers = [...shapes.keys()].filter((name) => !isFloat(tensors.get(name)!));
  if (integers.length > 0) return `not floating-point: ${shortened(integers)}`;
  const extra = [...tensors.keys()].filter((name) => !shapes.has(name) && !isUnused(name, config));
  return extra.length > 0
    ? `tensors that the configuration has no use for: ${shortened(extra)}`
    : null;
}

export const isSameShape = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((size, i) => size === b[i]);

const isFloat = ({ dtype }: StoredTensor) => /^B?F/.test(dtype);

/** Tensors that some exporters add and that no computation needs. */
function isUnused(name: string, { tieEmbeddings, task }: ModelConfig): boolean {
  if (name.endsWith(".rotary_emb.inv_freq")) return true; // follows from the configuration
  if (name !== "lm_head.weight") return false;
  return tieEmbeddings || task !== "generation";
}

/** The first five, and how many more there are. */
function shortened(items: readonly string[]): string {
  const more = items.length - 5;
  return items.slice(0, 5).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

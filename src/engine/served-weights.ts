/** The tensors that a serving graph asks for: whole weights, and matrices in few bits, made once and kept on disk. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { toFloat16 } from "../checkpoints/float16.ts";
import {
  readSafetensors,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "../checkpoints/safetensors.ts";
import type { Graph } from "../onnx/graph.ts";
import { type Bits, quantize, quantizedShapes } from "../onnx/quantize.ts";
import type { Runtime, Tensor } from "../onnx/runtime/index.ts";
import { namesWithin } from "../onnx/serving-weights.ts";

export interface WeightFile {
  /** Identifies the weights. */
  readonly revision: string;
  /** A weight by Hugging Face's name, as float32. */
  readonly weight: (name: string) => { shape: readonly number[]; data: Float32Array };
}

/**
 * @param cacheDir where matrices in few bits are kept between starts; null: they are made anew.
 * @throws GatewayError checkpoint_invalid for a damaged file in `cacheDir`.
 */
export async function servedWeights(
  runtime: Runtime,
  graph: Graph,
  file: WeightFile,
  cacheDir: string | null,
): Promise<Map<string, Tensor>> {
  const source = { ...file, weight: (name: string) => joinedWeight(file, name) };
  const given = graph.initializers.filter(({ data }) => data === null).map(({ value }) => value);
  const wanted = given.map(({ name }) => name);
  const parts = new Map<string, StoredTensor>();
  for (const bits of [4, 8] as const) {
    const ending = `.${bits}bit.packed`;
    const matrices = wanted.filter((name) => name.endsWith(ending));
    const names = matrices.map((name) => name.slice(0, -ending.length));
    for (const [name, part] of await quantized(source, names, bits, cacheDir))
      parts.set(name, part);
  }
  return new Map(
    given.map(({ name, dtype }) => {
      const part = parts.get(name);
      if (!part) {
        const { shape, data } = source.weight(name);
        const tensor: Tensor =
          dtype === "float16"
            ? runtime.tensor("float16", shape, toFloat16(data))
            : runtime.tensor("float32", shape, data);
        return [name, tensor] as const;
      }
      const tensor: Tensor =
        part.dtype === "U8"
          ? runtime.tensor("uint8", part.shape, part.data)
          : runtime.tensor("float32", part.shape, toFloat32(part));
      return [name, tensor] as const;
    }),
  );
}

/** A served weight from those of the file that stand in it one below the other. */
function joinedWeight(file: WeightFile, served: string): ReturnType<WeightFile["weight"]> {
  const parts = namesWithin(served).map((name) => file.weight(name));
  const [first] = parts;
  if (parts.length === 1) return first!;
  const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return { shape: [rows, ...first!.shape.slice(1)], data };
}

async function quantized(
  source: WeightFile,
  names: readonly string[],
  bits: Bits,
  cacheDir: string | null,
): Promise<Map<string, StoredTensor>> {
  if (names.length === 0) return new Map();
  const path = cacheDir && join(cacheDir, `${source.revision}-${bits}bit.safetensors`);
  if (path && existsSync(path)) {
    const kept = await readSafetensors(path);
    if (names.every((name) => kept.has(`${name}.${bits}bit.packed`))) return kept;
  }
  const made = new Map(names.flatMap((name) => partsOf(source, name, bits)));
  if (path) {
    await mkdir(cacheDir, { recursive: true });
    await writeSafetensors(path, made);
  }
  return made;
}

function partsOf({ weight }: WeightFile, name: string, bits: Bits): [string, StoredTensor][] {
  const { shape, data } = weight(name);
  const [outputs, inputs] = shape;
  assert(outputs !== undefined && inputs !== undefined, `'${name}' is not a matrix`);
  const { packed, scales, zeros } = quantize(data, outputs, inputs, bits);
  const shapes = quantizedShapes(outputs, inputs, bits);
  const scaleBytes = new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength);
  return [
    [`${name}.${bits}bit.packed`, { dtype: "U8", shape: shapes.packed, data: packed }],
    [`${name}.${bits}bit.scales`, { dtype: "F32", shape: shapes.scales, data: scaleBytes }],
    [`${name}.${bits}bit.zeros`, { dtype: "U8", shape: shapes.zeros, data: zeros }],
  ];
}

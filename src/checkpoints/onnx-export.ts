/**
 * A checkpoint as the folder that transformers.js reads: configuration, tokenizer and `onnx/model.onnx`, in float32.
 * Source of the layout: github.com/huggingface/transformers.js, docs/source/custom_usage.md and src/utils/model-loader.js.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "../base/atomic-file.ts";
import { GatewayError } from "../base/errors.ts";
import { encode, type WeightPlace } from "../onnx/encode.ts";
import { exportGraph } from "../onnx/export-graph.ts";
import { HEAD_MULTIPLE, isServableHead } from "../onnx/serving-graph.ts";
import { Checkpoint } from "./checkpoint.ts";
import { dtypeKey, tasks, writeModelConfig } from "./config.ts";
import { writeNewFolder } from "./new-folder.ts";
import { copyTokenizer } from "./tokenizer-copy.ts";

/** Weights begin at whole pages, so that a reader can map them. */
const PAGE_BYTES = 4096;

/**
 * Writes the folder whole or not at all.
 * @param out must not exist, or be empty.
 * @throws GatewayError invalid_request for a folder that holds something; export_failed when it cannot be written;
 * checkpoint_invalid and architecture_unsupported for what cannot be exported.
 */
export async function exportOnnx(
  folder: string,
  out: string,
  limits: ExportLimits = {},
): Promise<void> {
  const checkpoint = await Checkpoint.open(folder);
  refuseUnexportable(checkpoint);
  await writeNewFolder(out, async (temporary) => {
    await mkdir(join(temporary, "onnx"));
    await writeModel(checkpoint, temporary, limits);
    await copyTokenizer(folder, temporary);
  });
}

export interface ExportLimits {
  /** Weights of more bytes lie in files beside the model: one protobuf message holds 2 GiB at most. */
  readonly inlineBytesMax?: number;
  /** Of one such file; a browser holds little more in one buffer. */
  readonly fileBytesMax?: number;
}

async function writeModel(
  checkpoint: Checkpoint,
  to: string,
  { inlineBytesMax = 2 ** 29, fileBytesMax = 2 ** 31 - 2 ** 16 }: ExportLimits,
): Promise<void> {
  const { config } = checkpoint;
  const graph = exportGraph(config);
  const weights = graph.initializers.flatMap(({ value, data }) =>
    data === null ? [{ name: value.name, bytes: 4 * value.shape.reduce(product, 1) }] : [],
  );
  const isLarge = weights.reduce((sum, { bytes }) => sum + bytes, 0) > inlineBytesMax;
  const files = isLarge ? placed(weights, fileBytesMax) : [];
  for (const { file, parts } of files) {
    await writeFileAtomically(join(to, "onnx", file), bytesOf(checkpoint, parts));
  }
  const places = new Map<string, WeightPlace>(
    files.flatMap(({ file, parts }) => parts.map((part) => [part.name, { file, ...part }])),
  );
  const placeOf = (name: string) => places.get(name) ?? { data: checkpoint.weight(name).data };
  await writeFileAtomically(join(to, "onnx", "model.onnx"), [encode(graph, placeOf)]);
  const { config: written, generation } = config.files;
  const changes = {
    [dtypeKey(written)]: "float32",
    ...(isLarge && { "transformers.js_config": { use_external_data_format: files.length } }),
  };
  await writeModelConfig(to, { config: { ...written, ...changes }, generation });
}

interface Part {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Weights one after the other, in as many files as it takes. */
function placed(weights: readonly { name: string; bytes: number }[], fileBytesMax: number) {
  const files: { file: string; parts: Part[] }[] = [];
  let end = Infinity;
  for (const { name, bytes } of weights) {
    if (end + bytes > fileBytesMax) {
      const number = files.length === 0 ? "" : `_${files.length}`;
      files.push({ file: `model.onnx_data${number}`, parts: [] });
      end = 0;
    }
    files.at(-1)!.parts.push({ name, offset: end, bytes });
    end = PAGE_BYTES * Math.ceil((end + bytes) / PAGE_BYTES);
  }
  return files;
}

/** What a file of weights holds, a weight at a time. */
function* bytesOf(checkpoint: Checkpoint, parts: readonly Part[]): Generator<Uint8Array> {
  let end = 0;
  for (const { name, offset } of parts) {
    if (offset > end) yield new Uint8Array(offset - end);
    const { data } = checkpoint.weight(name);
    yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    end = offset + data.byteLength;
  }
}

const product = (a: number, b: number | string) => a * Number(b);

function refuseUnexportable({ folder, config }: Checkpoint): void {
  if (config.task !== "generation") {
    throw new GatewayError("architecture_unsupported", {
      path: folder,
      architecture: `…${tasks[config.task]}`,
      known: [`…${tasks.generation}`],
    });
  }
  if (isServableHead(config.headDim)) return;
  throw new GatewayError("checkpoint_invalid", {
    path: folder,
    problem: `its head size is ${config.headDim}; multiples of ${HEAD_MULTIPLE} can be exported only`,
    remedy: "Export a model with another head_dim.",
  });
}

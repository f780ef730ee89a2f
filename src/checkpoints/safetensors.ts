/**
 * Files of tensors in Hugging Face's safetensors format: 8 bytes header length (little-endian), a JSON
 * header, then the tensors' bytes. Knows nothing of models.
 * Source: github.com/huggingface/safetensors, README.md, "Format". Little-endian machines only, as Node's are.
 */

import { constants } from "node:buffer";
import { type FileHandle, open } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { assert } from "../base/assert.ts";
import { writeFileAtomically } from "../base/atomic-file.ts";
import { GatewayError } from "../base/errors.ts";
import { isMissing, readOptionalCheckpointJson } from "../base/json-file.ts";
import { float32FromBfloat16, float32FromFloat16, toBfloat16, toFloat16 } from "./float16.ts";

/** Bytes of one value; in the order in which the reference implementation stores the types. */
const dtypeBytes = { I64: 8, F64: 8, F32: 4, I32: 4, BF16: 2, F16: 2, U8: 1, BOOL: 1 } as const;
const dtypes = Object.keys(dtypeBytes);
export type Dtype = keyof typeof dtypeBytes;

export interface StoredTensor {
  dtype: Dtype;
  shape: readonly number[];
  /** The values' bytes, row by row; as read, a view into the whole file's buffer. */
  data: Uint8Array;
}

/**
 * Reads every tensor of a file; the tensors share one buffer, which lives as long as any of them.
 * @throws GatewayError checkpoint_invalid when the file is missing, truncated or contradicts itself.
 */
export async function readSafetensors(path: string): Promise<Map<string, StoredTensor>> {
  const file = await readWhole(path);
  const { header, dataStart } = readHeader(path, file);
  const found = entries(path, header);
  checkCoverage(path, found, file.length - dataStart);
  return new Map(
    found.map(({ name, dtype, shape, begin, end }) => {
      const data = file.subarray(dataStart + begin, dataStart + end);
      return [name, { dtype, shape, data }];
    }),
  );
}

/**
 * Reads the tensors of a checkpoint folder: `model.safetensors`, or the files that
 * `model.safetensors.index.json` lists.
 * @throws GatewayError checkpoint_invalid for a missing or faulty file, or a tensor that is not where the index says.
 */
export async function readSafetensorsFolder(folder: string): Promise<Map<string, StoredTensor>> {
  const indexPath = join(folder, "model.safetensors.index.json");
  const index = await readOptionalCheckpointJson(indexPath, Index);
  if (index === null) return readSafetensors(join(folder, "model.safetensors"));
  const tensors = new Map<string, StoredTensor>();
  const named = Object.entries(index.weight_map);
  for (const fileName of new Set(named.map(([, name]) => name))) {
    if (fileName !== basename(fileName))
      throw invalid(indexPath, `'${fileName}' is not a file name`);
    const shard = await readSafetensors(join(folder, fileName));
    for (const [name] of named.filter(([, file]) => file === fileName)) {
      const tensor = shard.get(name);
      if (!tensor) throw invalid(indexPath, `${fileName} has no tensor '${name}'`);
      tensors.set(name, tensor);
    }
  }
  return tensors;
}

/**
 * Writes a file that every safetensors reader accepts, forced to disk, replacing `path` in one step.
 * Larger types come first, then names in order, so that each tensor is aligned to its type.
 * @throws InvariantError when a tensor's bytes do not match its shape.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const made = [...tensors].map(([name, { dtype, shape, data }]) => {
    return [name, { dtype, shape, bytes: () => data }] as const;
  });
  await writeTensors(path, new Map(made), metadata);
}

/** A tensor whose bytes are made when they are written. */
export interface TensorSource extends Omit<StoredTensor, "data"> {
  readonly bytes: () => Uint8Array;
}

/**
 * Writes `model.safetensors`, or several files and the index of them where one would be too large, as
 * transformers' `save_pretrained` does.
 * @param fileBytesMax of tensors in one file; a single larger tensor has a file of its own. transformers 4 takes
 * 5 GB; a Node.js buffer, and so `readSafetensors`, no more than 4 GiB.
 */
export async function writeSafetensorsFolder(
  folder: string,
  tensors: ReadonlyMap<string, TensorSource>,
  fileBytesMax = 4e9,
): Promise<void> {
  const files = shards(tensors, fileBytesMax);
  const nameOf = (i: number) => {
    const [number, n] = [i + 1, files.length].map((each) => `${each}`.padStart(5, "0"));
    return n === "00001" ? "model.safetensors" : `model-${number}-of-${n}.safetensors`;
  };
  for (const [i, shard] of files.entries()) {
    await writeTensors(join(folder, nameOf(i)), shard, { format: "pt" });
  }
  if (files.length === 1) return;
  const places = files.flatMap((shard, i) => [...shard.keys()].map((name) => [name, nameOf(i)]));
  const index = {
    metadata: { total_size: totalBytes(tensors) },
    weight_map: Object.fromEntries(places),
  };
  const path = join(folder, "model.safetensors.index.json");
  await writeFileAtomically(path, [`${JSON.stringify(index, null, 2)}\n`]);
}

function shards(
  tensors: ReadonlyMap<string, TensorSource>,
  bytesMax: number,
): Map<string, TensorSource>[] {
  const files = [new Map<string, TensorSource>()];
  for (const [name, tensor] of tensors) {
    const last = files.at(-1)!;
    const isFull = totalBytes(last) + byteLength(tensor.dtype, tensor.shape) > bytesMax;
    if (last.size === 0 || !isFull) last.set(name, tensor);
    else files.push(new Map([[name, tensor]]));
  }
  return files;
}

function totalBytes(tensors: ReadonlyMap<string, TensorSource>): number {
  let sum = 0;
  for (const { dtype, shape } of tensors.values()) sum += byteLength(dtype, shape);
  return sum;
}

async function writeTensors(
  path: string,
  tensors: ReadonlyMap<string, TensorSource>,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const ordered = [...tensors].sort(([a, x], [b, y]) => {
    return dtypes.indexOf(x.dtype) - dtypes.indexOf(y.dtype) || (a < b ? -1 : 1);
  });
  const header: [string, unknown][] = [["__metadata__", metadata]];
  let offset = 0;
  for (const [name, { dtype, shape }] of ordered) {
    const end = offset + byteLength(dtype, shape);
    header.push([name, { dtype, shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  const padded = Buffer.concat([json, Buffer.alloc(-json.length & 7, " ")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const parts = function* () {
    yield* [length, padded];
    for (const [name, tensor] of ordered) yield checkedBytes(name, tensor);
  };
  await writeFileAtomically(path, parts());
}

function checkedBytes(name: string, { dtype, shape, bytes }: TensorSource): Uint8Array {
  const data = bytes();
  assert(data.byteLength === byteLength(dtype, shape), `'${name}' has not the bytes of its shape`);
  return data;
}

/**
 * @returns [product of shape] the values; a view of the same memory when they are aligned float32.
 * @throws InvariantError for a tensor of integers.
 */
export function toFloat32({ dtype, data }: StoredTensor): Float32Array {
  const bytes = aligned(data, dtypeBytes[dtype]);
  const n = data.byteLength / dtypeBytes[dtype];
  if (dtype === "F32") return new Float32Array(bytes.buffer, bytes.byteOffset, n);
  if (dtype === "F64")
    return Float32Array.from(new Float64Array(bytes.buffer, bytes.byteOffset, n));
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, n);
  if (dtype === "F16") return float32FromFloat16(halves);
  assert(dtype === "BF16", `A tensor of ${dtype} is not made of floating-point numbers`);
  return float32FromBfloat16(halves);
}

/**
 * @returns the bytes of the values in a type of floating-point numbers, rounded to nearest, ties to even.
 * @throws InvariantError for a type of integers.
 */
export function fromFloat32(values: Float32Array, dtype: Dtype): Uint8Array {
  if (dtype === "F64") return bytesOf(Float64Array.from(values));
  if (dtype === "F32") return bytesOf(values);
  if (dtype === "F16") return bytesOf(toFloat16(values));
  assert(dtype === "BF16", `${dtype} is not a type of floating-point numbers`);
  return bytesOf(toBfloat16(values));
}

const bytesOf = ({ buffer, byteOffset, byteLength: bytes }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, bytes);

function aligned(data: Uint8Array, bytes: number): Uint8Array {
  return data.byteOffset % bytes === 0 ? data : data.slice();
}

function byteLength(dtype: Dtype, shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, dtypeBytes[dtype]);
}

function invalid(path: string, problem: string, options?: ErrorOptions): GatewayError {
  const remedy = "Download or export the file again.";
  return new GatewayError("checkpoint_invalid", { path, problem, remedy }, options);
}

const readBytesMax = 2 ** 30; // one read call takes no more than 2³¹ − 1

async function readWhole(path: string): Promise<Uint8Array> {
  const file = await openForReading(path);
  try {
    const { size } = await file.stat();
    if (size > constants.MAX_LENGTH) {
      throw new GatewayError("checkpoint_invalid", {
        path,
        problem: `${size} bytes are more than one buffer holds (${constants.MAX_LENGTH})`,
        remedy: "Save the model in smaller shards (max_shard_size in save_pretrained).",
      });
    }
    const bytes = new Uint8Array(size);
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await file.read(
        bytes,
        filled,
        Math.min(size - filled, readBytesMax),
        filled,
      );
      if (bytesRead === 0) throw invalid(path, "the file shrank while it was read");
      filled += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

async function openForReading(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (cause) {
    throw invalid(path, isMissing(cause) ? "the file is missing" : String(cause), { cause });
  }
}

/** The bound of the reference implementation; a longer header is taken for damage. */
const headerBytesMax = 100_000_000;

function readHeader(path: string, file: Uint8Array): { header: Header; dataStart: number } {
  if (file.length < 8) throw invalid(path, `${file.length} bytes are too few for a header`);
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  if (length > headerBytesMax) throw invalid(path, `a header of ${length} bytes is too large`);
  if (length > file.length - 8) {
    throw invalid(path, `truncated: a header of ${length} bytes in a file of ${file.length}`);
  }
  const dataStart = 8 + length;
  const json = Buffer.from(file.buffer, 8, length).toString("utf8");
  return { header: parseHeader(path, json), dataStart };
}

function parseHeader(path: string, json: string): Header {
  let header: unknown;
  try {
    header = JSON.parse(json);
  } catch (cause) {
    throw invalid(path, `the header is not JSON (${String(cause)})`, { cause });
  }
  if (!Value.Check(Header, header)) throw invalid(path, "the header is not an object");
  const names = topLevelKeys(json);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (names.length !== Object.keys(header).length)
    throw invalid(path, `'${twice}' is listed twice`);
  return header;
}

const Header = Type.Record(Type.String(), Type.Unknown());
type Header = Static<typeof Header>;

/** JSON.parse keeps the last of two equal keys without a word, so the keys are read off the text as well. */
function topLevelKeys(json: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}]/g)) {
    if (token === "{") depth++;
    else if (token === "}") depth--;
    else if (depth === 1 && token.endsWith(":")) keys.push(JSON.parse(token.slice(0, -1)));
  }
  return keys;
}

const size = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Entry = Type.Object({
  dtype: Type.String(),
  shape: Type.Array(size),
  data_offsets: Type.Tuple([size, size]),
});

interface CheckedEntry {
  name: string;
  dtype: Dtype;
  shape: number[];
  begin: number;
  end: number;
}

function entries(path: string, header: Header): CheckedEntry[] {
  const tensors = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return tensors.map(([name, entry]) => {
    if (!Value.Check(Entry, entry)) throw invalid(path, `the entry of '${name}' is malformed`);
    const {
      dtype,
      shape,
      data_offsets: [begin, end],
    } = entry;
    if (!isDtype(dtype)) {
      throw new GatewayError("checkpoint_invalid", {
        path,
        problem: `'${name}' is of type ${dtype}`,
        remedy: `Supported: ${dtypes.join(", ")}. Convert the checkpoint.`,
      });
    }
    if (end - begin !== byteLength(dtype, shape)) {
      throw invalid(
        path,
        `'${name}' (${dtype} [${shape.join()}]) has ${end - begin} bytes of data`,
      );
    }
    return { name, dtype, shape, begin, end };
  });
}

const isDtype = (dtype: string): dtype is Dtype => Object.hasOwn(dtypeBytes, dtype);

/** Every byte belongs to exactly one tensor, as the format demands. */
function checkCoverage(path: string, found: readonly CheckedEntry[], dataBytes: number): void {
  let covered = 0;
  let last = "";
  for (const { name, begin, end } of found.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < covered) throw invalid(path, `the data of '${last}' and '${name}' overlap`);
    if (begin > covered) throw invalid(path, `bytes ${covered} to ${begin} belong to no tensor`);
    if (end > dataBytes) {
      throw invalid(path, `truncated: '${name}' ends at byte ${end} of ${dataBytes} bytes of data`);
    }
    covered = end;
    last = name;
  }
  if (covered !== dataBytes)
    throw invalid(path, `${dataBytes - covered} bytes follow the last tensor`);
}

const Index = Type.Object({ weight_map: Type.Record(Type.String(), Type.String()) });

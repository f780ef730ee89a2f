/**
 * Files of tensors in GGUF, version 3: a header, named settings, the tensors' names and shapes, then their bytes.
 * Knows nothing of models.
 * Source: github.com/ggml-org/ggml, docs/gguf.md. Little-endian, each tensor aligned to 32 bytes.
 */

import { writeFileAtomically } from "../base/atomic-file.ts";

/** A setting, with the type that its readers expect. */
export type GgufValue =
  | { readonly type: "uint32" | "float32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "int32s"; readonly value: readonly number[] }
  | { readonly type: "strings"; readonly value: readonly string[] };

export interface GgufTensor {
  readonly type: "F32" | "F16";
  /** Rows first, as everywhere here; the file lists sizes from the innermost on. */
  readonly shape: readonly number[];
  /** Made when it is written, so that one tensor at a time is in memory. */
  readonly data: () => Uint8Array;
}

const ALIGNMENT = 32;
const VERSION = 3;

const valueTypes = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;
const tensorTypes = { F32: { id: 0, bytes: 4 }, F16: { id: 1, bytes: 2 } } as const;

/** Replaces `path` in one step; a failure leaves nothing behind. */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: ReadonlyMap<string, GgufTensor>,
): Promise<void> {
  await writeFileAtomically(path, parts(metadata, tensors));
}

function* parts(
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: ReadonlyMap<string, GgufTensor>,
): Generator<Uint8Array> {
  const header = Buffer.concat([
    Buffer.from("GGUF"),
    uint32(VERSION),
    uint64(tensors.size),
    uint64(metadata.size),
    ...[...metadata].flatMap(([key, value]) => [string(key), setting(value)]),
    ...descriptions(tensors),
  ]);
  yield header;
  yield padding(header.length);
  for (const { data } of tensors.values()) {
    const bytes = data();
    yield bytes;
    yield padding(bytes.byteLength);
  }
}

/** Name, shape, type and place of each tensor; places count from the first tensor's byte. */
function descriptions(tensors: ReadonlyMap<string, GgufTensor>): Buffer[] {
  let offset = 0;
  return [...tensors].map(([name, { type, shape }]) => {
    const { id, bytes } = tensorTypes[type];
    const sizes = shape.toReversed().map(uint64);
    const description = [string(name), uint32(shape.length), ...sizes, uint32(id), uint64(offset)];
    offset += aligned(shape.reduce((product, size) => product * size, bytes));
    return Buffer.concat(description);
  });
}

function setting(value: GgufValue): Buffer {
  switch (value.type) {
    case "uint32":
      return Buffer.concat([uint32(valueTypes.uint32), uint32(value.value)]);
    case "float32":
      return Buffer.concat([uint32(valueTypes.float32), float32(value.value)]);
    case "bool":
      return Buffer.concat([uint32(valueTypes.bool), Buffer.of(value.value ? 1 : 0)]);
    case "string":
      return Buffer.concat([uint32(valueTypes.string), string(value.value)]);
    case "int32s":
      return array(valueTypes.int32, value.value.map(int32));
    case "strings":
      return array(valueTypes.string, value.value.map(string));
  }
}

function array(type: number, items: readonly Buffer[]): Buffer {
  const head = [uint32(valueTypes.array), uint32(type), uint64(items.length)];
  return Buffer.concat([...head, ...items]);
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

const aligned = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const padding = (bytes: number) => Buffer.alloc(aligned(bytes) - bytes);

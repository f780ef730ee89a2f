import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  readSafetensors,
  readSafetensorsFolder,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "../../src/checkpoints/safetensors.ts";

let folder = "";
let path = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "safetensors-"));
  path = join(folder, "model.safetensors");
});
afterAll(() => rm(folder, { recursive: true }));

const bytes = (data: ArrayBufferView) =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
const f32 = (...values: number[]): StoredTensor => ({
  dtype: "F32",
  shape: [values.length],
  data: bytes(Float32Array.from(values)),
});

describe("a file that Python wrote", () => {
  test("is read with its types, shapes and values", async () => {
    const file = fileURLToPath(new URL("../fixtures/python.safetensors", import.meta.url));
    const tensors = await readSafetensors(file);
    const value = (name: string) => [...toFloat32(tensors.get(name)!)];
    expect(tensors.get("half")!.shape).toEqual([2, 2]);
    expect(value("half")).toEqual([1, -2.5, 65_504, 2 ** -24]);
    expect(value("single")).toEqual([3.25, -0, Math.fround(1e-40)]);
    expect(value("double")).toEqual([Math.fround(0.1)]);
    expect(tensors.get("empty")).toMatchObject({ dtype: "F32", shape: [0, 4] });
    expect([...tensors.get("flag")!.data]).toEqual([1, 0]);
    expect([...tensors.get("long")!.data]).toEqual([...bytes(BigInt64Array.of(2n ** 40n, -1n))]);
    expect(() => value("long")).toThrow(/I64/);
  });

  test("is written by us byte for byte alike", async () => {
    const file = fileURLToPath(new URL("../fixtures/python.safetensors", import.meta.url));
    await writeSafetensors(path, await readSafetensors(file), { format: "np" });
    expect(await readFile(path)).toEqual(await readFile(file));
  });
});

test("any tensors come back as they were written, aligned to their type", async () => {
  const sizes = { F32: 4, F16: 2, BF16: 2, F64: 8, I64: 8, I32: 4, U8: 1, BOOL: 1 } as const;
  const dtype = fc.constantFrom(...(Object.keys(sizes) as (keyof typeof sizes)[]));
  const shape = fc.array(fc.nat({ max: 4 }), { maxLength: 3 });
  const tensor = fc.tuple(dtype, shape, fc.nat()).map(([type, dims, seed]): StoredTensor => {
    const length = dims.reduce((a, b) => a * b, sizes[type]);
    return { dtype: type, shape: dims, data: Uint8Array.from({ length }, (_, i) => seed * i) };
  });
  const name = fc.string().filter((each) => each !== "__metadata__" && each !== "__proto__");
  await fc.assert(
    fc.asyncProperty(fc.dictionary(name, tensor), async (written) => {
      await writeSafetensors(path, new Map(Object.entries(written)));
      const read = await readSafetensors(path);
      expect(read.size).toBe(Object.keys(written).length);
      for (const [key, { dtype: type, shape: dims, data }] of Object.entries(written)) {
        expect(read.get(key)).toMatchObject({ dtype: type, shape: dims });
        expect([...read.get(key)!.data]).toEqual([...data]);
        expect(read.get(key)!.data.byteOffset % sizes[type]).toBe(0);
      }
    }),
    { numRuns: 30 },
  );
});

test("aligned float32 values are views of the file's buffer, not copies", async () => {
  await writeSafetensors(path, new Map([["a", f32(1, 2)]]));
  const tensor = (await readSafetensors(path)).get("a")!;
  expect(toFloat32(tensor).buffer).toBe(tensor.data.buffer);
  expect([
    ...toFloat32({ ...tensor, data: bytes(Uint8Array.of(9, ...tensor.data)).subarray(1) }),
  ]).toEqual([1, 2]);
});

test("writing replaces the file whole and leaves nothing beside it", async () => {
  await writeSafetensors(path, new Map([["a", f32(1, 2, 3)]]));
  await writeSafetensors(path, new Map([["b", f32(4)]]));
  expect([...(await readSafetensors(path)).keys()]).toEqual(["b"]);
  expect(await readdir(folder)).toEqual(["model.safetensors"]);
});

test("a failed write keeps the old file", async () => {
  await writeSafetensors(path, new Map([["a", f32(1)]]));
  await expect(writeSafetensors(path, new Map([["b", { ...f32(1), shape: [2] }]]))).rejects.toThrow(
    "'b'",
  );
  expect([...(await readSafetensors(path)).keys()]).toEqual(["a"]);
});

/** A file with the given header text; the length field may lie. */
async function put(header: string, data = Buffer.alloc(0), length = Buffer.byteLength(header)) {
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(BigInt(length));
  await writeFile(path, Buffer.concat([field, Buffer.from(header), data]));
}
const entry = (begin: number, end: number, dtype = "U8", shape = [end - begin]) =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });

describe("a damaged file is refused with its path, its problem and a remedy:", () => {
  const cases: [string, () => Promise<void>, string][] = [
    ["no header", () => writeFile(path, "abc"), "3 bytes are too few for a header"],
    [
      "a header longer than the file",
      () => put("{}", undefined, 999),
      "truncated: a header of 999",
    ],
    [
      "a header of 100 MB and more",
      () => put("{}", undefined, 100_000_001),
      "100000001 bytes is too large",
    ],
    ["a header length beyond 2⁵³", () => writeFile(path, Buffer.alloc(9, 0xff)), "too large"],
    ["a header that is not JSON", () => put("{x"), "not JSON"],
    ["a header that is a list", () => put("[]"), "not an object"],
    ["a malformed entry", () => put('{"a":{"dtype":"U8"}}'), "entry of 'a' is malformed"],
    ["a negative size", () => put(`{"a":${entry(0, 1, "U8", [-1])}}`), "entry of 'a' is malformed"],
    [
      "an unknown type",
      () => put(`{"a":${entry(0, 1, "F8_E4M3")}}`, Buffer.alloc(1)),
      "'a' is of type F8_E4M3",
    ],
    [
      "bytes that the shape does not need",
      () => put(`{"a":${entry(0, 3, "U8", [2])}}`),
      "'a' (U8 [2]) has 3 bytes",
    ],
    ["reversed offsets", () => put(`{"a":${entry(2, 0, "U8", [2])}}`), "has -2 bytes"],
    [
      "data past the end",
      () => put(`{"a":${entry(0, 4)}}`, Buffer.alloc(3)),
      "truncated: 'a' ends at byte 4 of 3",
    ],
    [
      "overlapping tensors",
      () => put(`{"a":${entry(0, 3)},"b":${entry(2, 4)}}`, Buffer.alloc(4)),
      "'a' and 'b' overlap",
    ],
    [
      "a hole",
      () => put(`{"a":${entry(0, 1)},"b":${entry(2, 4)}}`, Buffer.alloc(4)),
      "bytes 1 to 2 belong to no tensor",
    ],
    [
      "bytes after the last tensor",
      () => put(`{"a":${entry(0, 1)}}`, Buffer.alloc(4)),
      "3 bytes follow the last",
    ],
    [
      "a name twice",
      () => put(`{"a":${entry(0, 1)},"a":${entry(0, 1)}}`, Buffer.alloc(1)),
      "'a' is listed twice",
    ],
    [
      "a name twice, once escaped",
      () => put(`{"a":${entry(0, 1)},"\\u0061" :${entry(0, 1)}}`, Buffer.alloc(1)),
      "'a' is listed twice",
    ],
  ];

  test.each(cases)("%s", async (_, make, problem) => {
    await make();
    const error: unknown = await readSafetensors(path).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "checkpoint_invalid" });
    expect(String(error)).toContain(`${path}: `);
    expect(String(error)).toContain(problem);
    expect(String(error)).toMatch(/(again|Convert the checkpoint)\.$/);
  });

  test("cut off anywhere", async () => {
    await writeSafetensors(
      path,
      new Map([
        ["a", f32(1, 2)],
        ["b", f32(3)],
      ]),
    );
    const { length } = await readFile(path);
    for (let size = length - 1; size >= 0; size--) {
      await truncate(path, size);
      await expect(readSafetensors(path)).rejects.toMatchObject({ code: "checkpoint_invalid" });
    }
  });

  test("missing", async () => {
    await rm(path);
    await expect(readSafetensors(path)).rejects.toThrow(/the file is missing/);
  });
});

describe("a checkpoint in several files", () => {
  const index = (map: object) =>
    writeFile(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
  beforeAll(async () => {
    await writeSafetensors(join(folder, "one.safetensors"), new Map([["a", f32(1)]]));
    await writeSafetensors(join(folder, "two.safetensors"), new Map([["b", f32(2)]]));
  });

  test("is read as one", async () => {
    await index({ a: "one.safetensors", b: "two.safetensors" });
    const tensors = await readSafetensorsFolder(folder);
    expect([...tensors].map(([name, tensor]) => [name, toFloat32(tensor)[0]])).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
  });

  test.each([
    [{ a: "two.safetensors" }, "two.safetensors has no tensor 'a'"],
    [{ a: "three.safetensors" }, "three.safetensors: the file is missing"],
    [{ a: "../one.safetensors" }, "'../one.safetensors' is not a file name"],
    [{ a: 7 }, "model.safetensors.index.json: 'weight_map.a' must be of type string"],
  ])("with the index %j is refused", async (map, problem) => {
    await index(map);
    await expect(readSafetensorsFolder(folder)).rejects.toThrow(problem);
  });
});

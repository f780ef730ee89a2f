/**
 * A model's memory on a device: tensors that live there, and the few graphs that move what is in them. Knows nothing
 * of sequences.
 */
import { copyGraph, readGraph, resizeGraph, writeGraph } from "../onnx/cache-graphs.ts";
import type { DType, TypedArray } from "../onnx/dtype.ts";
import { encode } from "../onnx/encode.ts";
import { Graph } from "../onnx/graph.ts";
import type { Provider, Runtime, Session, Tensor } from "../onnx/runtime/index.ts";
import { type CacheSizes, cacheNames } from "./cache.ts";

export interface DeviceSizes extends CacheSizes {
  readonly dtype: CacheType;
  readonly vocabSize: number;
}

type CacheType = "float32" | "float16";
type CacheTensor = Tensor<CacheType>;
type Rows = TypedArray<CacheType>;
/** By the names of `cacheNames`. */
export type CacheTensors = ReadonlyMap<string, CacheTensor>;

/** [n, 3]: slot, head and token of each row. */
export type Places = BigInt64Array;

const makers = { resize: resizeGraph, read: readGraph, write: writeGraph, copy: copyGraph };
type Sessions = Record<keyof typeof makers | "rows", Session>;

export class Device {
  readonly runtime: Runtime;
  readonly sizes: DeviceSizes;
  readonly #sessions: Sessions;

  private constructor(runtime: Runtime, sizes: DeviceSizes, sessions: Sessions) {
    this.runtime = runtime;
    this.sizes = sizes;
    this.#sessions = sessions;
  }

  /** @throws GatewayError provider_unavailable when the device is not there. */
  static async open(runtime: Runtime, provider: Provider, sizes: DeviceSizes): Promise<Device> {
    const shape = { ...sizes, names: cacheNames(sizes) };
    const open = (graph: Graph) => runtime.session(encode(graph), { provider });
    const sessions = {
      resize: await open(makers.resize(shape)),
      read: await open(makers.read(shape)),
      write: await open(makers.write(shape)),
      copy: await open(makers.copy(shape)),
      rows: await open(rowsGraph(sizes.vocabSize)),
    };
    return new Device(runtime, sizes, sessions);
  }

  /** The tensor's copy in the device's memory; the tensor itself is given up. */
  async upload<D extends DType>(tensor: Tensor<D>): Promise<Tensor<D>> {
    const there = await this.#sessions.rows.deviceTensor(tensor.dtype, tensor.shape);
    await this.runtime.copy([tensor], [there]);
    tensor.dispose();
    return there;
  }

  /** Whether it computes in the caches' type at all. @throws what the runtime says if not. */
  async check(): Promise<void> {
    const cache = await this.allocate(1, 1);
    const moved = await this.resized(cache, 1, 1);
    cache.dispose();
    moved.dispose();
  }

  /** Zeros: what attention hides is multiplied by 0, and must be finite for that. */
  async allocate(slots: number, capacity: number): Promise<CacheTensor> {
    const { dtype, kvHeads, headDim } = this.sizes;
    const zeros = this.runtime.tensor(dtype, [slots, kvHeads, capacity, headDim]);
    return this.upload(zeros);
  }

  /** A new tensor of so many slots of so many tokens; places that the old one lacks repeat its first. */
  async resized(cache: CacheTensor, slots: number, capacity: number): Promise<CacheTensor> {
    const { dtype, kvHeads, headDim } = this.sizes;
    const [hadSlots, , hadCapacity] = cache.shape as [number, number, number, number];
    const indices = (n: number, had: number) =>
      this.runtime.tensor(
        "int64",
        [n],
        BigInt64Array.from({ length: n }, (_, i) => BigInt(i < had ? i : 0)),
      );
    const inputs = {
      cache,
      slots: indices(slots, hadSlots),
      tokens: indices(capacity, hadCapacity),
    };
    const shape = [slots, kvHeads, capacity, headDim];
    const resized = await this.#sessions.resize.deviceTensor(dtype, shape);
    await run(this.#sessions.resize, inputs, { resized });
    inputs.slots.dispose();
    inputs.tokens.dispose();
    return resized;
  }

  /** [n · headDim] of each tensor. */
  async read(cache: CacheTensors, places: Places): Promise<Rows[]> {
    const at = this.#places(places);
    const rows = await this.#sessions.read.evaluate({ places: at, ...named("past", cache) });
    at.dispose();
    return [...cache.keys()].map((name) => rows[`rows_${name}`]!.data as Rows); // the graph's outputs are of `dtype`
  }

  /** @param rows [n · headDim] for each tensor. */
  async write(cache: CacheTensors, places: Places, rows: readonly Rows[]): Promise<void> {
    const { dtype, headDim } = this.sizes;
    const at = this.#places(places);
    const shape = [places.length / 3, headDim];
    const given = Object.fromEntries(
      [...cache.keys()].map((name, i) => [
        `rows_${name}`,
        this.runtime.tensor<CacheType>(dtype, shape, rows[i]!),
      ]),
    );
    const inputs = { places: at, ...given, ...named("past", cache) };
    await run(this.#sessions.write, inputs, named("present", cache));
    for (const tensor of [at, ...Object.values(given)]) tensor.dispose();
  }

  async copy(cache: CacheTensors, from: Places, to: Places): Promise<void> {
    const ends = { from: this.#places(from), places: this.#places(to) };
    const inputs = { ...ends, ...named("past", cache) };
    await run(this.#sessions.copy, inputs, named("present", cache));
    for (const tensor of Object.values(ends)) tensor.dispose();
  }

  /** Some rows of a matrix [n, vocabSize] on the device, brought here. */
  async rows(matrix: Tensor, rows: readonly number[]): Promise<Float32Array[]> {
    const { vocabSize } = this.sizes;
    const wanted = this.runtime.tensor("int64", [rows.length], BigInt64Array.from(rows, BigInt));
    const { picked } = await this.#sessions.rows.evaluate({ matrix, rows: wanted });
    wanted.dispose();
    const data = picked!.data as Float32Array; // the graph's output is float32
    return rows.map((_, i) => data.subarray(i * vocabSize, (i + 1) * vocabSize));
  }

  dispose(): void {
    for (const session of Object.values(this.#sessions)) session.dispose();
  }

  #places(places: Places): Tensor {
    return this.runtime.tensor("int64", [places.length / 3, 3], places);
  }
}

function rowsGraph(vocabSize: number): Graph {
  const g = new Graph();
  const matrix = g.input("matrix", "float32", ["n", vocabSize]);
  g.output("picked", g.gather(matrix, g.input("rows", "int64", ["rows"])));
  return g;
}

const named = (when: "past" | "present", cache: CacheTensors) =>
  Object.fromEntries([...cache].map(([name, tensor]) => [`${when}_${name}`, tensor]));

async function run(
  session: Session,
  inputs: Record<string, Tensor>,
  outputs: Record<string, Tensor>,
): Promise<void> {
  const binding = session.bind({ inputs, outputs });
  try {
    await session.run(binding);
  } finally {
    binding.dispose();
  }
}

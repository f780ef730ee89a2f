/**
 * What this machine could do at best, with as many threads as the systems under test get: how fast it reads memory and
 * multiplies matrices. From that follows how fast decoding could be.
 */
import { systemClock } from "../src/base/clock.ts";
import { encode } from "../src/onnx/encode.ts";
import { Graph, type Value } from "../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../src/onnx/runtime/index.ts";
import type { TransformerConfig } from "../src/onnx/transformer.ts";

export interface Machine {
  /** Of an array as large as the weights: what fits a cache is read faster. */
  readonly bytesPerSecond: number;
  /** Float32; a multiplication and an addition are two. */
  readonly flopsPerSecond: number;
}

const ROWS = 64;
const PRODUCT_SIZE = 1024;
const TRIES_MS = 700;

/** The best try of each. Reading is measured in two ways, of which the faster counts. */
export async function measureMachine(bytes: number, threads: number): Promise<Machine> {
  const runtime = openRuntime();
  const columns = Math.ceil(bytes / 4 / ROWS);
  const common = { runtime, threads };
  const reads = [
    await fastestMs(common, [[ROWS, columns]], (g, [x]) => g.maximum(x!, [1])),
    await fastestMs(
      common,
      [
        [1, ROWS],
        [ROWS, columns],
      ],
      (g, [x, w]) => g.matmul(x!, w!),
    ), // one row: bound by reading w
  ];
  runtime.dispose();
  return {
    bytesPerSecond: (4000 * ROWS * columns) / Math.min(...reads),
    flopsPerSecond: await measureProducts(threads),
  };
}

/** The best try of a large matrix product. @returns floating-point operations per second */
export async function measureProducts(threads: number): Promise<number> {
  const runtime = openRuntime();
  const square = [PRODUCT_SIZE, PRODUCT_SIZE];
  const common = { runtime, threads };
  const ms = await fastestMs(common, [square, square], (g, [x, w]) => g.matmul(x!, w!));
  runtime.dispose();
  return (2000 * PRODUCT_SIZE ** 3) / ms;
}

/**
 * The least that a step of decoding can take: reading every weight, and the keys and values, once, or multiplying
 * every matrix with n rows, whichever takes longer.
 * @param contextTokens of each sequence. @returns milliseconds
 */
export function stepBoundMs(
  machine: Machine,
  config: TransformerConfig,
  { n, contextTokens }: { n: number; contextTokens: number },
): number {
  const { layers, kvHeads, heads, headDim } = config;
  const weights = matrixValues(config);
  const kvBytes = 4 * 2 * layers * kvHeads * headDim * contextTokens * n;
  const attention = 2 * layers * heads * headDim * contextTokens;
  return Math.max(
    (1000 * (4 * weights + kvBytes)) / machine.bytesPerSecond,
    (2000 * n * (weights + attention)) / machine.flopsPerSecond,
  );
}

/** Values in the matrices that every token is multiplied with. */
export function matrixValues(config: TransformerConfig): number {
  const { layers, hiddenSize: d, intermediateSize, heads, kvHeads, headDim, vocabSize } = config;
  const attention = 2 * d * heads * headDim + 2 * d * kvHeads * headDim;
  return layers * (attention + 3 * d * intermediateSize) + d * vocabSize;
}

async function fastestMs(
  { runtime, threads }: { runtime: Runtime; threads: number },
  shapes: readonly (readonly number[])[],
  build: (g: Graph, inputs: readonly Value[]) => Value,
): Promise<number> {
  const g = new Graph();
  const inputs = shapes.map((shape, i) => g.input(`x${i}`, "float32", shape));
  const y = g.output("y", build(g, inputs));
  const session = await runtime.session(encode(g), { threads });
  const tensors = shapes.map((shape) => {
    // NOTE: filled, for pages of untouched zeros are all one page, which is always in the cache.
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5);
    return runtime.tensor("float32", shape, data);
  });
  const outputs = { y: runtime.tensor("float32", y.shape as number[]) }; // every size is known
  const named = Object.fromEntries(tensors.map((tensor, i) => [`x${i}`, tensor]));
  const binding = session.bind({ inputs: named, outputs });
  let fastest = Number.POSITIVE_INFINITY;
  for (const end = systemClock.elapsedMs() + TRIES_MS; systemClock.elapsedMs() < end; ) {
    const started = systemClock.elapsedMs();
    await session.run(binding);
    fastest = Math.min(fastest, systemClock.elapsedMs() - started);
  }
  binding.dispose();
  session.dispose();
  for (const tensor of [...tensors, outputs.y]) tensor.dispose();
  return fastest;
}

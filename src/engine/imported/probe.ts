/**
 * Tries a foreign graph before it serves: whether its outputs have the shapes that they should, and whether a row's bits
 * depend on the rows beside it. Products of 4-bit matrices are summed differently for one row than for many; activations
 * in 8 bits are scaled by all rows' largest value.
 */
import type { Runtime } from "../../onnx/runtime/index.ts";
import type { DecoderSession } from "./decoder-session.ts";
import type { Company } from "./imported-batches.ts";
import type { DecoderLayout } from "./layout.ts";
import { PackedCache } from "./packed-cache.ts";

interface Tried {
  readonly runtime: Runtime;
  readonly layout: DecoderLayout;
  readonly decoder: DecoderSession;
  readonly vocabSize: number;
}

/** Enough rows for every kernel that is chosen by their number. */
const COMPANIES = [3, 8, 17];
/** Tokens before the one that is compared. */
const PAST = 3;

/** @throws GatewayError runtime_failed for outputs of other shapes. */
export async function findCompany(tried: Tried): Promise<Company> {
  for (const rowsMin of [1, 2]) {
    const alone = await rowBits(tried, Array<number>(rowsMin).fill(0), 0);
    let isSame = true;
    for (const n of COMPANIES) {
      const rows = Array.from({ length: n }, (_, i) => i);
      const first = await rowBits(tried, rows, 0);
      const last = await rowBits(tried, rows.toReversed(), n - 1);
      isSame &&= alone.equals(first) && alone.equals(last);
    }
    if (isSame) return { rowsMin, rowsMax: Infinity };
  }
  return { rowsMin: 1, rowsMax: 1 };
}

/**
 * Prompts of a few tokens, each row its own, then one token more.
 * @returns the bytes of a row's logits and of its keys and values.
 */
async function rowBits(tried: Tried, rows: readonly number[], row: number): Promise<Buffer> {
  const { runtime, layout, decoder, vocabSize } = tried;
  const token = (seed: number, t: number) => (7919 * (seed + 1) + 104_729 * (t + 1)) % vocabSize;
  const cache = new PackedCache(runtime, layout);
  cache.reset(rows.length, 0);
  const parts: Buffer[] = [];
  for (let t = 0; t <= PAST; t++) {
    const tokens = rows.map((seed) => [token(seed, t)]);
    const { tensor } = await decoder.run(tokens, cache, 1);
    const { data } = tensor;
    parts.push(bytesOf(data, row, rows.length));
    tensor.dispose();
  }
  for (let t = 0; t < 2 * layout.layers; t++) {
    const size = rows.length * layout.kvHeads * cache.length * layout.headDim;
    parts.push(bytesOf(cache.tensor(t).subarray(0, size), row, rows.length));
  }
  return Buffer.concat(parts);
}

/** Of one of n equal parts. */
function bytesOf(array: ArrayBufferView, part: number, n: number): Buffer {
  const size = array.byteLength / n;
  return Buffer.from(array.buffer, array.byteOffset + part * size, size);
}

/** The two ways in which rows of a batch hold their past: whole in slots of their own, or after a prefix that all share. */
import type { Runtime, Tensor } from "../onnx/runtime/index.ts";
import { type CacheBlock, type KvCache, wholeBlocks } from "./cache.ts";
import type { RowPlaces } from "./decode-batch.ts";

/** Every row has all of its tokens in its slot. */
export function wholeSlots(runtime: Runtime, rowsMax: number): RowPlaces {
  const lengths = runtime.tensor("int32", [rowsMax]);
  const total = runtime.tensor("int32", []);
  return {
    graph: "serving",
    sharedTokens: 0,
    write(row, ownTokens) {
      lengths.data[row] = ownTokens; // tokens in the slot after the step, less one
      total.data[0] = Math.max(row === 0 ? 0 : total.data[0]!, ownTokens + 1);
    },
    inputs: (rows) => ({ lengths: lengths.view([rows], 0), total: total.view([], 0) }),
    dispose() {
      lengths.dispose();
      total.dispose();
    },
  };
}

/**
 * Every row goes on from the same tokens.
 * @param cache one slot, which this takes over.
 */
export async function afterPrefix(
  runtime: Runtime,
  cache: KvCache,
  blocks: readonly CacheBlock[],
  rowsMax: number,
): Promise<RowPlaces> {
  const tokens = blocks.reduce((sum, { length }) => sum + length, 0);
  await cache.resize(1, wholeBlocks(tokens));
  await cache.write(0, blocks);
  const ownTokens = runtime.tensor("int64", [rowsMax]);
  const constants = {
    prefix_tokens: runtime.tensor("int64", [], BigInt64Array.of(BigInt(tokens))),
    prefix_places: counting(runtime, cache.capacity),
  };
  return {
    graph: "shared-prefix",
    sharedTokens: tokens,
    write(row, own) {
      ownTokens.data[row] = BigInt(own);
    },
    inputs: (rows, capacity) => ({
      own_tokens: ownTokens.view([rows], 0),
      own_places: counting(runtime, capacity),
      prefix_tokens: constants.prefix_tokens.view([], 0),
      prefix_places: constants.prefix_places.view([cache.capacity], 0),
      ...cache.slot(0),
    }),
    dispose() {
      ownTokens.dispose();
      for (const tensor of Object.values(constants)) tensor.dispose();
      cache.dispose();
    },
  };
}

/** 0, 1, 2, … */
function counting(runtime: Runtime, length: number): Tensor<"int64"> {
  return runtime.tensor(
    "int64",
    [length],
    BigInt64Array.from({ length }, (_, i) => BigInt(i)),
  );
}

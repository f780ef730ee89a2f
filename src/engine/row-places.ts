/** The ways in which rows of a batch hold their past: whole in slots of their own, or after a prefix that all share. */
import type { Runtime, Tensor } from "../onnx/runtime/index.ts";
import type { KvCache } from "./cache.ts";
import type { RowPlaces } from "./decode-batch.ts";

/** Every row has all of its tokens in its slot, and one new one a step. */
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

/** Every row has all of its tokens in its slot, and several new ones a step. */
export function wholeSlotsOfSeveral(runtime: Runtime, rowsMax: number): RowPlaces {
  const own = runtime.tensor("int64", [rowsMax]);
  return {
    graph: "several",
    sharedTokens: 0,
    write(row, ownTokens) {
      own.data[row] = BigInt(ownTokens);
    },
    inputs: (rows, tokens, capacity) => severalInputs(runtime, own, { rows, tokens, capacity }),
    dispose: () => own.dispose(),
  };
}

/**
 * Every row goes on from the same tokens.
 * @param cache whose first slot they are in; it goes with what is returned.
 */
export function afterPrefix(
  runtime: Runtime,
  cache: KvCache,
  prefixTokens: number,
  rowsMax: number,
): RowPlaces {
  const own = runtime.tensor("int64", [rowsMax]);
  return {
    graph: "shared-prefix",
    sharedTokens: prefixTokens,
    write(row, ownTokens) {
      own.data[row] = BigInt(ownTokens);
    },
    inputs: (rows, tokens, capacity) => ({
      ...severalInputs(runtime, own, { rows, tokens, capacity }),
      ...prefixInputs(runtime, prefixTokens, cache.capacity),
      ...cache.slot(0),
    }),
    dispose() {
      own.dispose();
      cache.dispose();
    },
  };
}

/** Of a prefix that fills so many of its places. */
export function prefixInputs(
  runtime: Runtime,
  tokens: number,
  capacity: number,
): Record<string, Tensor> {
  return {
    prefix_tokens: runtime.tensor("int64", [], BigInt64Array.of(BigInt(tokens))),
    prefix_places: counting(runtime, capacity),
  };
}

export function severalInputs(
  runtime: Runtime,
  own: Tensor<"int64">,
  { rows, tokens, capacity }: { rows: number; tokens: number; capacity: number },
): Record<string, Tensor> {
  return {
    own_tokens: own.view([rows], 0),
    own_places: counting(runtime, capacity),
    new_places: counting(runtime, tokens),
  };
}

/** 0, 1, 2, … */
export function counting(runtime: Runtime, length: number): Tensor<"int64"> {
  return runtime.tensor(
    "int64",
    [length],
    BigInt64Array.from({ length }, (_, i) => BigInt(i)),
  );
}

/** The cache on a device against the one in ordinary memory, verb by verb. On the CPU its graphs run as well. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CacheBlock, KvCache, type SlotCache } from "../../src/engine/cache.ts";
import { Device } from "../../src/engine/device.ts";
import { DeviceCache } from "../../src/engine/device-cache.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { testProvider } from "../support/test-provider.ts";

const sizes = { layers: 2, kvHeads: 2, headDim: 16, dtype: "float32", vocabSize: 5 } as const;

let runtime: Runtime;
let device: Device;
beforeAll(async () => {
  runtime = openRuntime();
  device = await Device.open(runtime, testProvider, sizes);
});
afterAll(() => {
  device.dispose();
  runtime.dispose();
});

/** Tokens' values, each told apart by what was written. */
const blockOf = (value: number, length: number): CacheBlock => ({
  length,
  tensors: Array.from({ length: 4 }, (_, tensor) =>
    Float32Array.from({ length: 2 * length * 16 }, (_each, i) => value * 1e4 + tensor * 1e3 + i),
  ),
});

const number = (min: number, max: number) => fc.integer({ min, max });
const verbs = fc.array(
  fc.oneof(
    fc.record({
      verb: fc.constant("resize" as const),
      slots: number(1, 4),
      capacity: number(6, 20),
    }),
    fc.record({
      verb: fc.constant("write" as const),
      slot: number(0, 3),
      lengths: fc.array(number(1, 3), { minLength: 1, maxLength: 2 }),
    }),
    fc.record({
      verb: fc.constant("copy" as const),
      from: number(0, 3),
      to: number(0, 3),
      length: number(1, 6),
    }),
  ),
  { minLength: 1, maxLength: 8 },
);

test("a device's cache holds what one in ordinary memory would", async () => {
  await fc.assert(
    fc.asyncProperty(verbs, async (script) => {
      const caches: SlotCache[] = [new KvCache(runtime, sizes), new DeviceCache(device)];
      /** By slot: how many tokens were written and are still there. */
      const held = new Map<number, number>();
      for (const cache of caches) await cache.resize(2, 8);
      for (const [step, each] of script.entries()) {
        const { slots } = caches[0]!;
        if (each.verb === "resize") {
          for (const cache of caches) await cache.resize(each.slots, each.capacity);
          for (const [slot, length] of held) {
            if (slot >= each.slots) held.delete(slot);
            else held.set(slot, Math.min(length, each.capacity));
          }
        } else if (each.verb === "write") {
          const blocks = each.lengths.map((length, i) => blockOf(2 * step + i, length));
          for (const cache of caches) await cache.write(each.slot % slots, blocks);
          const length = each.lengths.reduce((sum, n) => sum + n);
          held.set(each.slot % slots, Math.max(length, held.get(each.slot % slots) ?? 0));
        } else {
          const [from, to] = [each.from % slots, each.to % slots];
          const length = Math.min(each.length, held.get(from) ?? 0);
          if (length === 0) continue;
          for (const cache of caches) await cache.copy(from, to, length);
          held.set(to, Math.max(length, held.get(to) ?? 0));
        }
        for (const [slot, length] of held) {
          const from = Math.floor(length / 2);
          const [expected, found] = await Promise.all(
            caches.map((cache) => cache.read(slot, from, length - from)),
          );
          expect(found).toEqual(expected);
        }
      }
      for (const cache of caches) cache.dispose();
    }),
    { numRuns: testProvider === "cpu" ? 50 : 15 },
  );
});

test("a batch is all of its slots, shared with whoever binds them", async () => {
  const cache = new DeviceCache(device);
  await cache.resize(4, 8);
  expect(cache.batchRows()).toBe(4);
  await expect(cache.firstSlots(3)).rejects.toThrow("all 4 slots, not 3");
  const { past, present } = await cache.firstSlots(4);
  expect(Object.keys(past)).toEqual(["past_key_0", "past_value_0", "past_key_1", "past_value_1"]);
  for (const tensor of [...Object.values(past), ...Object.values(present)]) tensor.dispose();
  await cache.write(3, [blockOf(1, 2)]);
  expect(await cache.read(3, 0, 2)).toEqual(blockOf(1, 2));
  cache.dispose();
});

test("rows of a matrix are fetched alone", async () => {
  const values = Float32Array.from({ length: 15 }, (_, i) => i);
  const matrix = await device.upload(runtime.tensor("float32", [3, 5], values));
  expect(await device.rows(matrix, [2, 0])).toEqual([values.slice(10), values.slice(0, 5)]);
  matrix.dispose();
});

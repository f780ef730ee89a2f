/** Thousands of native objects come and go; the resident set must not grow by what they would leak. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  openRuntime,
  type Runtime,
  type Session,
  type Tensor,
} from "../../../src/onnx/runtime/index.ts";
import { addModel } from "../../support/tiny-onnx.ts";

vi.setConfig({ testTimeout: 240_000 }); // for a machine busy with other work; alone it takes 8 s
setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

let runtime: Runtime;
let add: Session;
let small: Tensor;
let large: Tensor; // 1 MiB
beforeAll(async () => {
  runtime = openRuntime();
  add = await runtime.session(addModel(), { threads: 1 });
  small = runtime.tensor("float32", [4]);
  large = runtime.tensor("float32", [2 ** 18]);
});
afterAll(() => {
  add.dispose();
  runtime.dispose();
});

describe("the resident set stays where it is over", () => {
  test("60,000 tensors", () =>
    expectNoGrowth(60_000, () => runtime.tensor("float32", [4]).dispose()));

  test("20,000 bindings", () =>
    expectNoGrowth(20_000, () => {
      add.bind({ inputs: { a: small, b: small }, outputs: { c: "cpu" } }).dispose();
    }));

  test("500 allocated outputs of 1 MiB", () =>
    expectNoGrowth(500, () => {
      const binding = add.bind({ inputs: { a: large, b: large }, outputs: { c: "cpu" } });
      add.runSync(binding);
      binding.output("c");
      binding.dispose();
    }));

  test("500 reruns of one binding that allocates 1 MiB", async () => {
    const binding = add.bind({ inputs: { a: large, b: large }, outputs: { c: "cpu" } });
    await expectNoGrowth(500, async () => {
      await add.run(binding);
      binding.output("c");
    });
    binding.dispose();
  });

  test("200 tensors of 1 MiB", () =>
    expectNoGrowth(200, () => {
      const tensor = runtime.tensor("float32", [2 ** 18]);
      tensor.data.fill(1);
      tensor.dispose();
    }));

  test("200 sessions", () =>
    expectNoGrowth(200, async () => {
      (await runtime.session(addModel(), { threads: 1 })).dispose();
    }));

  test("1,000 models that do not load", () =>
    expectNoGrowth(1000, async () => {
      await runtime.session(Uint8Array.of(1), { threads: 1 }).catch(() => undefined);
    }));

  test("5,000 runs that fail", async () => {
    const three = runtime.tensor("float32", [3]);
    const binding = add.bind({ inputs: { a: small, b: three }, outputs: { c: "cpu" } });
    await expectNoGrowth(5000, () => add.run(binding).catch(() => undefined));
    binding.dispose();
  });
});

/** Leaving out the dispose() of a small tensor, binding, output or session costs 15 MB or more a pass. */
const growthMaxBytes = 6 * 2 ** 20;

/**
 * Compares passes after a first one, which fills caches and compiles. A leak shows in each of them, an
 * allocator that happens to grow does not: the smallest growth counts.
 */
async function expectNoGrowth(cycles: number, cycle: () => unknown): Promise<void> {
  const pass = async () => {
    for (let i = 0; i < cycles; i++) await cycle();
    collectGarbage();
    return process.memoryUsage.rss();
  };
  let before = await pass();
  let growthBytes = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 3 && growthBytes >= growthMaxBytes; i++) {
    const after = await pass();
    growthBytes = Math.min(growthBytes, after - before);
    before = after;
  }
  expect(growthBytes).toBeLessThan(growthMaxBytes);
}

/**
 * The device path, on whatever WebGPU adapter there is. Without a GPU, Chromium's software Vulkan will
 * do: VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json (Debian: chromium, libvulkan1).
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GatewayError } from "../../../src/base/errors.ts";
import { openRuntime, type Runtime, type Session } from "../../../src/onnx/runtime/index.ts";
import { addModel, matMulModel } from "../../support/tiny-onnx.ts";

const runtime = openRuntime();
const adapter = await openWebGpu(runtime);
if (adapter instanceof GatewayError) {
  console.warn(`SKIPPED: no WebGPU adapter. ${adapter.message}`);
}

const vector = (...items: number[]) =>
  runtime.tensor("float32", [items.length], Float32Array.from(items));

describe.skipIf(adapter instanceof GatewayError)("on WebGPU", () => {
  let add: Session;
  beforeAll(() => {
    add = adapter as Session; // or the tests below are skipped
  });
  afterAll(() => {
    add.dispose();
    runtime.dispose();
  });

  test("gives the CPU's sum from ordinary tensors", async () => {
    const { c } = await add.evaluate({ a: vector(1, 2, 3), b: vector(10, 20, 30) });
    expect(c).toEqual({ dtype: "float32", shape: [3], data: Float32Array.of(11, 22, 33) });
  });

  test("computes in place in device memory", async () => {
    const [a, b] = [await add.deviceTensor("float32", [2]), await add.deviceTensor("float32", [2])];
    await runtime.copy([vector(1, 2), vector(10, 100)], [a, b]);
    const binding = add.bind({ inputs: { a, b }, outputs: { c: a } });
    for (let i = 0; i < 3; i++) await add.run(binding);
    const back = vector(0, 0);
    await runtime.copy([a], [back]);
    expect([...back.data]).toEqual([31, 302]);
    binding.dispose();
    a.dispose();
    b.dispose();
  });

  test("hands a device output on as an input, without a way through ordinary memory", async () => {
    const first = add.bind({ inputs: { a: vector(1), b: vector(2) }, outputs: { c: "device" } });
    await add.run(first);
    const sum = first.output("c");
    expect(sum.place).toBe("device");
    expect(() => sum.data).toThrow("device memory has no JavaScript view");
    expect(() => sum.view([1], 0)).toThrow("not device memory");
    const second = add.bind({ inputs: { a: sum, b: sum }, outputs: { c: "cpu" } });
    first.dispose();
    await add.run(second);
    expect([...second.output("c").data]).toEqual([6]);
    second.dispose();
  });

  test("takes initializers from ordinary memory", async () => {
    const w = runtime.tensor("float32", [64, 64]);
    w.data.fill(0.5);
    const initializers = new Map([["w", w]]);
    const session = await runtime.session(matMulModel(64, 64), {
      provider: "webgpu",
      initializers,
    });
    const x = runtime.tensor("float32", [1, 64]);
    x.data.fill(1);
    const { y } = await session.evaluate({ x });
    expect(y!.data[0]).toBeCloseTo(32, 4);
    session.dispose();
  });

  test("reads an ordinary input as it is at each run", async () => {
    const a = vector(1);
    const binding = add.bind({ inputs: { a, b: a }, outputs: { c: "cpu" } });
    await add.run(binding);
    a.data[0] = 50;
    await add.run(binding);
    expect([...binding.output("c").data]).toEqual([100]);
    binding.dispose();
  });

  test("takes turns: runs, copies, allocations and releases at once neither crash nor mix", async () => {
    const other = await runtime.session(addModel(), { provider: "webgpu" });
    const workers = [add, other, add, other].map(async (session, k) => {
      for (let i = 0; i < 100; i++) {
        const a = await session.deviceTensor("float32", [3]);
        const back = runtime.tensor("float32", [3]);
        await runtime.copy([vector(k, i, 0)], [a]);
        const outputs = { c: i % 2 === 0 ? a : ("device" as const) };
        const binding = session.bind({ inputs: { a, b: vector(1, 1, 1) }, outputs });
        await session.run(binding);
        await runtime.copy([binding.output("c")], [back]);
        expect([...back.data]).toEqual([k + 1, i + 1, 1]);
        binding.dispose();
        a.dispose();
      }
    });
    await Promise.all(workers);
    other.dispose();
  });

  test("device tensors outlive their session", async () => {
    const session = await runtime.session(addModel(), { provider: "webgpu" });
    const a = await session.deviceTensor("float32", [1]);
    session.dispose();
    await runtime.copy([vector(5)], [a]);
    const { c } = await add.evaluate({ a, b: a });
    expect([...c!.data]).toEqual([10]);
    a.dispose();
    await expect(session.deviceTensor("float32", [1])).rejects.toThrow("after its disposal");
  });
});

/** A session on WebGPU, or the error that says there is no adapter. */
async function openWebGpu(from: Runtime): Promise<Session | GatewayError> {
  try {
    return await from.session(addModel(), { provider: "webgpu" });
  } catch (problem) {
    if (problem instanceof GatewayError && problem.code === "provider_unavailable") return problem;
    throw problem;
  }
}

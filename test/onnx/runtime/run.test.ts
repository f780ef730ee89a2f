import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime, type Session } from "../../../src/onnx/runtime/index.ts";
import { addModel, floats, node, slowModel, tinyModel, value } from "../../support/tiny-onnx.ts";

let runtime: Runtime;
let add: Session;
beforeAll(async () => {
  runtime = openRuntime();
  add = await runtime.session(addModel(), { threads: 1 });
});
afterAll(() => {
  add.dispose();
  runtime.dispose();
});

const vector = (...items: number[]) =>
  runtime.tensor("float32", [items.length], Float32Array.from(items));

describe("a session", () => {
  test("says what its model reads and writes", () => {
    expect(add.inputs).toEqual([
      { name: "a", dtype: "float32", shape: ["n"] },
      { name: "b", dtype: "float32", shape: ["n"] },
    ]);
    expect(add.outputs).toEqual([{ name: "c", dtype: "float32", shape: ["n"] }]);
  });

  test("gives the sum that IEEE single precision gives", async () => {
    const { c } = await add.evaluate({ a: vector(0.1, -2, 3e38), b: vector(0.2, 5, 3e38) });
    expect(c).toEqual({
      dtype: "float32",
      shape: [3],
      data: Float32Array.of(Math.fround(Math.fround(0.1) + Math.fround(0.2)), 3, Infinity),
    });
  });

  test("multiplies matrices as the definition does", async () => {
    const model = tinyModel({
      inputs: [value("x", "float32", ["n", 2])],
      outputs: [value("y", "float32", ["n", 3])],
      nodes: [node("MatMul", ["x", "w"], ["y"])],
      initializers: [floats("w", [2, 3], [1, 2, 3, 4, 5, 6])],
    });
    const session = await runtime.session(model, { threads: 1 });
    const x = runtime.tensor("float32", [2, 2], Float32Array.of(1, 10, -1, 0));
    const { y } = await session.evaluate({ x });
    expect(y!.shape).toEqual([2, 3]);
    expect([...y!.data]).toEqual([41, 52, 63, -1, -2, -3]);
    session.dispose();
  });

  test("returns every element type as it was given", async () => {
    const cases = {
      float64: Float64Array.of(Math.PI),
      float16: Uint16Array.of(0x3c00),
      int64: BigInt64Array.of(-(2n ** 62n)),
      int32: Int32Array.of(-7),
      uint8: Uint8Array.of(255),
      int8: Int8Array.of(-128),
      bool: Uint8Array.of(1),
    } as const;
    for (const [dtype, data] of Object.entries(cases) as [keyof typeof cases, Uint8Array][]) {
      const model = tinyModel({
        inputs: [value("x", dtype, [1])],
        outputs: [value("y", dtype, [1])],
        nodes: [node("Identity", ["x"], ["y"])],
      });
      const session = await runtime.session(model, { threads: 1 });
      const { y } = await session.evaluate({ x: runtime.tensor(dtype, [1], data) });
      expect(y).toEqual({ dtype, shape: [1], data });
      session.dispose();
    }
  });

  test("accepts tensors without elements and without dimensions", async () => {
    const { c } = await add.evaluate({ a: vector(), b: vector() });
    expect(c).toEqual({ dtype: "float32", shape: [0], data: new Float32Array(0) });
    const scalar = runtime.tensor("float32", []);
    expect([...scalar.data]).toEqual([0]);
  });

  test("runs the same synchronously", () => {
    const c = vector(0, 0);
    const binding = add.bind({ inputs: { a: vector(1, 2), b: vector(3, 4) }, outputs: { c } });
    add.runSync(binding);
    expect([...c.data]).toEqual([4, 6]);
    binding.dispose();
  });

  test("runs several bindings at once", async () => {
    const runs = Array.from({ length: 20 }, async (_, i) => {
      const { c } = await add.evaluate({ a: vector(i), b: vector(100) });
      return c!.data[0];
    });
    expect(await Promise.all(runs)).toEqual(Array.from({ length: 20 }, (_, i) => 100 + i));
  });
});

describe("a long run", () => {
  const steps = 10_000_000n; // several seconds, unless ended
  const startSlow = async () => {
    const session = await runtime.session(slowModel(), { threads: 1 });
    const inputs = {
      count: runtime.tensor("int64", [], BigInt64Array.of(steps)),
      start: runtime.tensor("float32", []),
    };
    const binding = session.bind({ inputs, outputs: { y: "cpu" } });
    const abort = new AbortController();
    const run = session.run(binding, { signal: abort.signal });
    return { session, inputs, binding, abort, run };
  };

  test("leaves the event loop free, and ends with the signal's reason", async () => {
    const { session, binding, abort, run } = await startSlow();
    let settled = false;
    const outcome = run.catch((reason: unknown) => reason).finally(() => (settled = true));
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toBe(false);
    const reason = new Error("the client went away");
    abort.abort(reason);
    expect(await outcome).toBe(reason);
    binding.dispose();
    session.dispose();
  });

  test("survives the disposal of everything it uses, which is refused to anyone else", async () => {
    const { session, inputs, binding, abort, run } = await startSlow();
    const outcome = run.catch((reason: unknown) => reason);
    binding.dispose();
    session.dispose();
    inputs.count.dispose();
    inputs.start.dispose();
    expect(() => binding.setInput("start", inputs.start)).toThrow("after its disposal");
    expect(() => session.runSync(binding)).toThrow("after its disposal");
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    abort.abort("enough");
    expect(await outcome).toBe("enough");
  });

  test("refuses a second run, and new tensors, of the same binding", async () => {
    const { session, inputs, binding, abort, run } = await startSlow();
    const outcome = run.catch((reason: unknown) => reason);
    await expect(session.run(binding)).rejects.toThrow("a run of this binding is in flight");
    expect(() => binding.setInput("start", inputs.start)).toThrow("in flight");
    expect(() => binding.output("y")).toThrow("in flight");
    abort.abort("enough");
    expect(await outcome).toBe("enough");
    binding.dispose();
    session.dispose();
  });

  test("does not start when the signal has fired already", async () => {
    const c = vector(-1);
    const binding = add.bind({ inputs: { a: vector(1), b: vector(1) }, outputs: { c } });
    const signal = AbortSignal.abort("too late");
    await expect(add.run(binding, { signal })).rejects.toBe("too late");
    expect([...c.data]).toEqual([-1]);
    await add.run(binding); // and the binding is free again
    expect([...c.data]).toEqual([2]);
    binding.dispose();
  });
});

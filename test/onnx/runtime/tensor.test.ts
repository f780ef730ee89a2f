import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime, type Session } from "../../../src/onnx/runtime/index.ts";
import { addModel } from "../../support/tiny-onnx.ts";

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

describe("a tensor", () => {
  test("shares the typed array it was given", async () => {
    const data = Float32Array.of(1, 2);
    const a = runtime.tensor("float32", [2], data);
    expect(a.data).toBe(data);
    const binding = add.bind({ inputs: { a, b: a }, outputs: { c: "cpu" } });
    await add.run(binding);
    expect([...binding.output("c").data]).toEqual([2, 4]);
    data.set([10, 20]);
    await add.run(binding);
    expect([...binding.output("c").data]).toEqual([20, 40]);
    binding.dispose();
  });

  test("starts at the array's own offset in its buffer", async () => {
    const buffer = Float32Array.of(9, 9, 1, 2, 9);
    const a = runtime.tensor("float32", [2], buffer.subarray(2, 4));
    const { c } = await add.evaluate({ a, b: a });
    expect([...c!.data]).toEqual([2, 4]);
  });

  test("is zero where no data was given", () => {
    expect([...runtime.tensor("int64", [2, 2]).data]).toEqual([0n, 0n, 0n, 0n]);
  });

  test("keeps its place while the garbage collector moves small arrays", async () => {
    const tensors = Array.from({ length: 200 }, (_, i) =>
      runtime.tensor("float32", [1], Float32Array.of(i)),
    );
    const garbage = () => Array.from({ length: 50_000 }, (_, i) => ({ i }));
    for (let i = 0; i < 20; i++) garbage(); // several collections of the young
    const zero = runtime.tensor("float32", [1]);
    for (const [i, a] of tensors.entries()) {
      const binding = add.bind({ inputs: { a, b: zero }, outputs: { c: "cpu" } });
      add.runSync(binding);
      expect(binding.output("c").data[0]).toBe(i);
      binding.dispose();
    }
  });

  test("refuses data that does not fill its shape, or is of another kind", () => {
    expect(() => runtime.tensor("float32", [3], new Float32Array(2))).toThrow(
      "shape [3] has 3 elements, its array 2",
    );
    expect(() => runtime.tensor("bool", [2], new Int8Array(2) as never)).toThrow("bool tensor");
    expect(() => runtime.tensor("float32", [-1])).toThrow("[-1] is not a shape");
    expect(() => runtime.tensor("float32", [1.5])).toThrow("[1.5] is not a shape");
  });

  test("cannot be used after its disposal", async () => {
    const a = runtime.tensor("float32", [1]);
    a.dispose();
    a.dispose(); // the second does nothing
    expect(a.disposed).toBe(true);
    expect(() => a.data).toThrow("a tensor was used after its disposal");
    expect(() => a.view([1], 0)).toThrow("after its disposal");
    await expect(add.evaluate({ a, b: a })).rejects.toThrow("after its disposal");
    await expect(
      runtime.session(addModel(), { initializers: new Map([["w", a]]) }),
    ).rejects.toThrow("after its disposal");
  });

  test("is refused when its buffer was transferred away", async () => {
    const data = new Float32Array(4);
    const a = runtime.tensor("float32", [4], data);
    structuredClone(data.buffer, { transfer: [data.buffer] });
    await expect(add.evaluate({ a, b: a })).rejects.toThrow("was transferred or shrunk");
  });
});

describe("a view", () => {
  test("reads and writes a part of the same memory", async () => {
    const whole = runtime.tensor("float32", [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
    const row = whole.view([3], 3);
    expect([...row.data]).toEqual([4, 5, 6]);
    const binding = add.bind({ inputs: { a: row, b: whole.view([3], 0) }, outputs: { c: row } });
    await add.run(binding);
    expect([...whole.data]).toEqual([1, 2, 3, 5, 7, 9]);
    binding.dispose();
  });

  test("outlives the tensor it was taken from", async () => {
    const whole = runtime.tensor("float32", [2], Float32Array.of(1, 2));
    const part = whole.view([1], 1);
    whole.dispose();
    const { c } = await add.evaluate({ a: part, b: part });
    expect([...c!.data]).toEqual([4]);
  });

  test("must lie within", () => {
    const whole = runtime.tensor("float32", [4]);
    expect(() => whole.view([2], 3)).toThrow("a view of 2 elements at 3 leaves the tensor's 4");
    expect(() => whole.view([1], -1)).toThrow("leaves");
    expect(whole.view([0], 4).data).toHaveLength(0);
  });
});

describe("a copy", () => {
  test("copies pairs of the same size, whatever their shapes", async () => {
    const from = [
      runtime.tensor("float32", [2], Float32Array.of(1, 2)),
      runtime.tensor("int64", [1], BigInt64Array.of(7n)),
    ];
    const to = [runtime.tensor("float32", [2, 1]), runtime.tensor("int64", [1])];
    await runtime.copy(from, to);
    expect(to.map((tensor) => [...tensor.data])).toEqual([[1, 2], [7n]]);
  });

  test("is refused between different sizes or types", async () => {
    const two = runtime.tensor("float32", [2]);
    await expect(runtime.copy([two], [runtime.tensor("float32", [3])])).rejects.toThrow(
      "float32 [2] cannot be copied to float32 [3]",
    );
    await expect(runtime.copy([two], [runtime.tensor("int32", [2])])).rejects.toThrow("int32");
    await expect(runtime.copy([two], [])).rejects.toThrow("1 tensors cannot be copied to 0");
  });
});

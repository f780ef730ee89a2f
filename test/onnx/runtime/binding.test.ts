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

const vector = (...items: number[]) =>
  runtime.tensor("float32", [items.length], Float32Array.from(items));

describe("a binding", () => {
  test("computes in place when an output is bound to an input's tensor", async () => {
    const sum = vector(1, 2);
    const binding = add.bind({ inputs: { a: sum, b: vector(10, 100) }, outputs: { c: sum } });
    for (let i = 0; i < 3; i++) await add.run(binding);
    expect([...sum.data]).toEqual([31, 302]);
    expect(binding.output("c")).toBe(sum);
    binding.dispose();
  });

  test("allocates an output anew in every run, in the shape of that run", async () => {
    const binding = add.bind({ inputs: { a: vector(1), b: vector(2) }, outputs: { c: "cpu" } });
    await add.run(binding);
    const first = binding.output("c");
    const { data } = first;
    binding.setInput("a", vector(1, 2, 3));
    binding.setInput("b", vector(4, 5, 6));
    await add.run(binding);
    expect(binding.output("c").shape).toEqual([3]);
    expect([...binding.output("c").data]).toEqual([5, 7, 9]);
    expect([...data]).toEqual([3]); // the copy taken before is the reader's
    expect(() => first.data).toThrow("an output was used after its disposal");
    binding.dispose();
  });

  test("'device' on the CPU is ordinary memory, and an output can be an input as it is", async () => {
    const ones = vector(1, 1);
    const first = add.bind({ inputs: { a: ones, b: ones }, outputs: { c: "device" } });
    await add.run(first);
    const second = add.bind({ inputs: { a: first.output("c"), b: ones }, outputs: { c: "cpu" } });
    first.dispose(); // the second binding keeps what it reads
    await add.run(second);
    expect([...second.output("c").data]).toEqual([3, 3]);
    second.dispose();
  });

  test("replaces an output's target", async () => {
    const [c, d] = [vector(0), vector(0)];
    const binding = add.bind({ inputs: { a: vector(1), b: vector(1) }, outputs: { c } });
    await add.run(binding);
    binding.setOutput("c", d);
    c.data.fill(-1);
    await add.run(binding);
    binding.setOutput("c", "cpu");
    d.data.fill(-2);
    await add.run(binding);
    expect([c.data[0], d.data[0], binding.output("c").data[0]]).toEqual([-1, -2, 2]);
    binding.dispose();
  });

  test("keeps the tensors that were disposed of while bound", async () => {
    const [a, b, c] = [vector(1), vector(2), vector(0)];
    const { data } = c;
    const binding = add.bind({ inputs: { a, b }, outputs: { c } });
    for (const tensor of [a, b, c]) tensor.dispose();
    await add.run(binding);
    expect([...data]).toEqual([3]);
    binding.dispose();
  });

  test("refuses names that the model lacks and other element types, before native code sees them", () => {
    const a = vector(1);
    expect(() => add.bind({ inputs: { z: a }, outputs: {} })).toThrow(
      "the session has no input 'z', it has: a, b",
    );
    expect(() => add.bind({ inputs: {}, outputs: { z: "cpu" } })).toThrow("no output 'z'");
    const int = runtime.tensor("int32", [1]);
    expect(() => add.bind({ inputs: { a: int }, outputs: {} })).toThrow(
      "'a' is float32, the tensor int32",
    );
    expect(() => add.bind({ inputs: {}, outputs: { c: int } })).toThrow("'c' is float32");
  });

  test("has an output only once it ran, and only where one is bound", async () => {
    const binding = add.bind({ inputs: { a: vector(1), b: vector(1) }, outputs: { c: "cpu" } });
    expect(() => binding.output("c")).toThrow("the output 'c' has no value");
    expect(() => binding.output("a")).toThrow("the output 'a' is not bound");
    await add.run(binding);
    expect([...binding.output("c").data]).toEqual([2]);
    binding.dispose();
  });

  test("belongs to its session and ends with its disposal", async () => {
    const other = await runtime.session(addModel(), { threads: 1 });
    const binding = other.bind({ inputs: {}, outputs: {} });
    expect(() => add.runSync(binding)).toThrow("runs on the session that made it");
    binding.dispose();
    binding.dispose(); // the second does nothing
    expect(binding.disposed).toBe(true);
    await expect(other.run(binding)).rejects.toThrow("a binding was used after its disposal");
    expect(() => binding.output("c")).toThrow("after its disposal");
    other.dispose();
    expect(() => other.bind({ inputs: {}, outputs: {} })).toThrow(
      "a session was used after its disposal",
    );
  });
});

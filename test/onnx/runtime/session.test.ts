import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../src/onnx/runtime/index.ts";
import { absent, addModel, matMulModel, node, tinyModel, value } from "../../support/tiny-onnx.ts";

let runtime: Runtime;
let folder: string;
beforeAll(() => {
  runtime = openRuntime();
  folder = mkdtempSync(join(tmpdir(), "plumbline-runtime-"));
});
afterAll(() => {
  runtime.dispose();
  rmSync(folder, { recursive: true });
});

const vector = (...items: number[]) =>
  runtime.tensor("float32", [items.length], Float32Array.from(items));

describe("loading", () => {
  test("reads a model from a file", async () => {
    const path = join(folder, "addition ä.onnx");
    writeFileSync(path, addModel());
    const session = await runtime.session(path, { threads: 1 });
    const { c } = await session.evaluate({ a: vector(1), b: vector(2) });
    expect([...c!.data]).toEqual([3]);
    session.dispose();
  });

  test.each([
    ["a missing file", "/nowhere/model.onnx", "File doesn't exist"],
    ["bytes that are no model", Uint8Array.of(1, 2, 3), "protobuf parsing failed"],
    [
      "an unknown operator",
      tinyModel({
        inputs: [value("x", "float32", [1])],
        outputs: [value("y", "float32", [1])],
        nodes: [node("Teleport", ["x"], ["y"])],
      }),
      "Teleport",
    ],
  ])("tells ONNX Runtime's own reason for %s", async (_, model, reason) => {
    await expect(runtime.session(model)).rejects.toMatchObject({
      name: "GatewayError",
      code: "runtime_failed",
      message: expect.stringContaining(reason),
    });
  });

  test("hands ONNX Runtime its own settings, and tells what it thinks of them", async () => {
    const config = { "session.intra_op_thread_affinities": "nonsense" };
    await expect(runtime.session(addModel(), { threads: 2, config })).rejects.toMatchObject({
      code: "runtime_failed",
      message: expect.stringContaining("nonsense"),
    });
  });
});

describe("running", () => {
  test.each(["run", "runSync"] as const)("%s tells ONNX Runtime's reason", async (method) => {
    const session = await runtime.session(addModel(), { threads: 1 });
    const binding = session.bind({
      inputs: { a: vector(1, 2), b: vector(1, 2, 3) },
      outputs: { c: "cpu" },
    });
    await expect(async () => session[method](binding)).rejects.toMatchObject({
      code: "runtime_failed",
      message: expect.stringContaining("2 by 3"),
    });
    expect(() => binding.output("c")).toThrow("has no value");
    binding.setInput("b", vector(1, 1)); // and the binding is usable again
    await session[method](binding);
    expect([...binding.output("c").data]).toEqual([2, 3]);
    binding.dispose();
    session.dispose();
  });

  test("refuses an output tensor of another shape, and leaves its memory alone", async () => {
    const session = await runtime.session(addModel(), { threads: 1 });
    const c = vector(7);
    const binding = session.bind({ inputs: { a: vector(1, 2), b: vector(1, 2) }, outputs: { c } });
    await expect(session.run(binding)).rejects.toMatchObject({ code: "runtime_failed" });
    expect([...c.data]).toEqual([7]);
    binding.dispose();
    session.dispose();
  });

  test("names the input that nobody bound", async () => {
    const session = await runtime.session(addModel(), { threads: 1 });
    await expect(session.evaluate({ a: vector(1) })).rejects.toThrow("b");
    session.dispose();
  });
});

describe("shared initializers", () => {
  // Sizes on both sides of the 128 bytes below which ONNX Runtime treats constants specially.
  test.each([2, 64])("are one memory for two sessions, at size %i", async (size) => {
    const w = runtime.tensor("float32", [size, size]);
    for (let i = 0; i < size; i++) w.data[i * (size + 1)] = 3; // 3 × identity
    const options = { initializers: new Map([["w", w]]), prepacking: false, threads: 1 };
    const model = matMulModel(size, size);
    const sessions = await Promise.all([
      runtime.session(model, options),
      runtime.session(model, options),
    ]);
    const x = runtime.tensor("float32", [1, size]);
    x.data.fill(1);
    const results = async () => {
      const values = await Promise.all(sessions.map((session) => session.evaluate({ x })));
      return values.map(({ y }) => y!.data[0]);
    };
    expect(await results()).toEqual([3, 3]);
    w.data[0] = 5;
    expect(await results()).toEqual([5, 5]);
    w.dispose(); // the sessions keep it
    expect(await results()).toEqual([5, 5]);
    for (const session of sessions) session.dispose();
  });

  test("have their values when the optimiser folds them", async () => {
    const model = tinyModel({
      inputs: [value("x", "float32", [3])],
      outputs: [value("y", "float32", [3])],
      initializers: [absent("w", "float32", [3])],
      nodes: [node("Neg", ["w"], ["v"]), node("Add", ["x", "v"], ["y"])],
    });
    const initializers = new Map([["w", vector(1, 2, 3)]]);
    const session = await runtime.session(model, { initializers, threads: 1 });
    const { y } = await session.evaluate({ x: vector(0, 0, 0) });
    expect([...y!.data]).toEqual([-1, -2, -3]);
    session.dispose();
  });

  test("share their rearranged copies too", async () => {
    const size = 64;
    const w = runtime.tensor("float32", [size, size]);
    w.data.fill(2);
    const prepacked = runtime.prepackedWeights();
    const options = { initializers: new Map([["w", w]]), prepacked, threads: 1 };
    const first = await runtime.session(matMulModel(size, size), options);
    const second = await runtime.session(matMulModel(size, size), options);
    prepacked.dispose();
    first.dispose();
    const x = runtime.tensor("float32", [1, size]);
    x.data.fill(1);
    const { y } = await second.evaluate({ x });
    expect(y!.data[0]).toBe(2 * size);
    second.dispose();
  });
});

describe("settings", () => {
  test("all of them together still give the sum", async () => {
    const session = await runtime.session(addModel(), {
      threads: 2,
      spinning: false,
      graphOptimization: "none",
      arena: false,
      memoryPattern: false,
      prepacking: false,
    });
    const { c } = await session.evaluate({ a: vector(1), b: vector(2) });
    expect([...c!.data]).toEqual([3]);
    session.dispose();
  });

  test("a profile lists the operators that ran", async () => {
    const session = await runtime.session(addModel(), { profilePath: join(folder, "profile") });
    await session.evaluate({ a: vector(1), b: vector(1) });
    const path = session.endProfiling();
    const events: { args?: { op_name?: string } }[] = JSON.parse(readFileSync(path, "utf8"));
    expect(events.some((event) => event.args?.op_name === "Add")).toBe(true);
    session.dispose();
  });
});

describe("the runtime", () => {
  test("names its version", () => {
    expect(runtime.version).toMatch(/^1\.\d+\.\d+$/);
  });

  test("opens again after it was disposed of, and makes nothing meanwhile", async () => {
    const closed = openRuntime();
    closed.dispose();
    expect(closed.disposed).toBe(true);
    expect(() => closed.tensor("float32", [1])).toThrow("after its disposal");
    expect(() => closed.session(addModel())).toThrow("after its disposal");
    const again = openRuntime();
    const session = await again.session(addModel(), { threads: 1 });
    again.dispose(); // the session keeps the environment
    const { c } = await session.evaluate({ a: vector(1), b: vector(1) });
    expect([...c!.data]).toEqual([2]);
    session.dispose();
  });
});

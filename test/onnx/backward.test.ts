/** The reverse walk: which paths count, which do not, and what the rules say where a derivative does not exist. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import { backward } from "../../src/onnx/backward.ts";
import { Graph, type Value } from "../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { nd } from "../support/arrays.ts";
import { evaluate, feed, inputs } from "../support/graphs.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

type Vectors = Readonly<Record<string, readonly number[]>>;

/** ∂loss/∂x of double vectors x, by name. */
async function gradientsOf<V extends Vectors>(
  vectors: V,
  loss: (g: Graph, x: { readonly [K in keyof V]: Value }) => Value,
  wanted: readonly (keyof V & string)[] = Object.keys(vectors),
): Promise<Record<string, readonly number[]>> {
  const g = new Graph();
  const feeds = Object.fromEntries(
    Object.entries(vectors).map(([name, data]) => [name, feed("float64", nd([data.length], data))]),
  );
  const x = inputs(g, feeds) as { readonly [K in keyof V]: Value }; // one per vector
  const gradients = backward(
    g,
    loss(g, x),
    wanted.map((name) => x[name]),
  );
  const outputs = Object.fromEntries(wanted.map((name, i) => [`d ${name}`, gradients[i]!]));
  const results = await evaluate(runtime, g, outputs, feeds);
  return Object.fromEntries(wanted.map((name) => [name, results[`d ${name}`]!.data]));
}

describe("backward", () => {
  test("adds the gradients of all uses of a value", async () => {
    const { x } = await gradientsOf({ x: [1, -2, 3] }, (g, { x }) => {
      const square = g.mul(x, x);
      return g.sum(g.add(g.mul(square, square), g.sub(square, x))); // x⁴ + x² − x
    });
    expect(x).toEqual([4 + 2 - 1, -32 - 4 - 1, 108 + 6 - 1]);
  });

  test("gives the gradient of intermediate values, and 1 of the loss itself", async () => {
    const g = new Graph();
    const feeds = { x: feed("float64", nd([2], [3, 4])) };
    const { x } = inputs(g, feeds);
    const doubled = g.scale(x, 2);
    const loss = g.sum(g.mul(doubled, x));
    const [ofDoubled, ofLoss] = backward(g, loss, [doubled, loss]) as [Value, Value];
    const results = await evaluate(runtime, g, { ofDoubled, ofLoss }, feeds);
    expect(results.ofDoubled.data).toEqual([3, 4]);
    expect(results.ofLoss.data).toEqual([1]);
  });

  test("takes what is held constant for a number, whatever it is made of", async () => {
    const { x } = await gradientsOf({ x: [2, -3] }, (g, { x }) =>
      g.sum(g.mul(x, g.stopGradient(g.mul(x, x)))),
    );
    expect(x).toEqual([4, 9]); // not 3x²
  });

  test("leaves out paths through comparisons, and keeps the others", async () => {
    const { x } = await gradientsOf({ x: [-1, 2] }, (g, { x }) => {
      const isPositive = g.cast(g.less(g.scalar(0, "float64"), x), "float64");
      return g.sum(g.mul(isPositive, g.mul(x, x)));
    });
    expect(x).toEqual([-0, 4]);
  });

  test("refuses a loss that is not a scalar", () => {
    const g = new Graph();
    const x = g.input("x", "float32", [2]);
    expect(() => backward(g, x, [x])).toThrow(/must be a scalar, not \[2\]/);
    expect(() => backward(g, x, [x])).toThrow(InvariantError);
  });

  test("refuses a value that the loss does not depend on, or not smoothly", () => {
    const g = new Graph();
    const [x, y] = [g.input("x", "float32", [2]), g.input("y", "float32", [2])];
    expect(() => backward(g, g.sum(x), [y])).toThrow(/does not depend on y/);
    const steps = g.sum(g.cast(g.less(x, y), "float32"));
    expect(() => backward(g, steps, [x])).toThrow(/does not depend on x/);
  });

  test("refuses to differentiate a gathering of columns", () => {
    const g = new Graph();
    const x = g.input("x", "float32", [2, 3]);
    const loss = g.sum(g.gather(x, g.ints([0]), 1));
    expect(() => backward(g, loss, [x])).toThrow(/axis 0 only/);
  });
});

describe("where a derivative does not exist", () => {
  test("a tie of max and min goes to the first operand", async () => {
    const pair = { a: [1, 1, 1], b: [1, 2, 0] };
    const ofMax = await gradientsOf(pair, (g, { a, b }) => g.sum(g.max(a, b)));
    expect(ofMax).toEqual({ a: [1, 0, 1], b: [0, 1, 0] });
    const ofMin = await gradientsOf(pair, (g, { a, b }) => g.sum(g.min(a, b)));
    expect(ofMin).toEqual({ a: [1, 1, 0], b: [0, 0, 1] });
  });
  test("equal maxima share", async () => {
    const { x } = await gradientsOf({ x: [5, 1, 5, 5] }, (g, { x }) => g.maximum(x));
    expect(x).toEqual([1 / 3, 0, 1 / 3, 1 / 3]);
  });
  test("|0| rises", async () => {
    const { x } = await gradientsOf({ x: [-2, 0, 2] }, (g, { x }) => g.sum(g.abs(x)));
    expect(x).toEqual([-1, 1, 1]);
  });
});

describe("far from zero", () => {
  test("a power of a negative number has a gradient by the number", async () => {
    const powers = { x: [-2, -3], n: [3, 2] };
    const { x } = await gradientsOf(powers, (g, { x, n }) => g.sum(g.pow(x, n)), ["x"]);
    expect(x).toEqual([12, -6]);
  });
  test("saturated functions have the gradients 0 and 1, not NaN", async () => {
    const far = { x: [-1000, 1000] };
    const sigmoid = await gradientsOf(far, (g, { x }) => g.sum(g.sigmoid(x)));
    const softplus = await gradientsOf(far, (g, { x }) => g.sum(g.softplus(x)));
    const tanh = await gradientsOf(far, (g, { x }) => g.sum(g.tanh(x)));
    const logSumExp = await gradientsOf(far, (g, { x }) => g.logSumExp(x));
    expect([sigmoid["x"], softplus["x"], tanh["x"], logSumExp["x"]]).toEqual([
      [0, 0],
      [0, 1],
      [0, 0],
      [0, 1],
    ]);
  });
  test("the log-probability of a hopeless class still pulls", async () => {
    const { x } = await gradientsOf({ x: [-1000, 1000] }, (g, { x }) =>
      g.sum(g.slice(g.logSoftmax(x), 0, 0, 1)),
    );
    expect(x).toEqual([1, -1]);
  });
});

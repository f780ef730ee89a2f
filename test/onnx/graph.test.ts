/** The graph's readable forms: what they choose between operators, sizes known only at run time, refusals. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import { Graph, type Value } from "../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { type Shape, show } from "../../src/onnx/shapes.ts";
import { type Nd, nd, random } from "../support/arrays.ts";
import { gradientError } from "../support/gradients.ts";
import { evaluate, type Feeds, feed, inputs } from "../support/graphs.ts";
import { elementwise, product } from "../support/naive.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const double = (numbers: Nd, declared?: Shape) => feed("float64", numbers, declared);

/** y's numbers and the error of its gradient by all feeds. */
async function run(feeds: Feeds, build: (g: Graph, x: Record<string, Value>) => Value) {
  const forward = new Graph();
  const { y } = await evaluate(
    runtime,
    forward,
    { y: build(forward, inputs(forward, feeds)) },
    feeds,
  );
  const g = new Graph();
  const question = { g, y: build(g, inputs(g, feeds)), feeds, wanted: Object.keys(feeds) };
  return { y, error: await gradientError(runtime, question) };
}

function expectClose(actual: Nd, expected: Nd): void {
  expect(actual.shape).toEqual(expected.shape);
  const differences = actual.data.map((value, i) => Math.abs(value - expected.data[i]!));
  expect(Math.max(...differences)).toBeLessThan(1e-12);
}

describe("matmul in double precision, which the fused operator lacks", () => {
  const bits = [false, true];
  const all = bits.flatMap((transA) => bits.map((transB) => ({ transA, transB })));
  const swapped = (shape: number[], swap: boolean) =>
    swap ? [...shape.slice(0, -2), ...shape.slice(-2).reverse()] : shape;

  test.each(all)("transposes and scales: $transA, $transB", async ({ transA, transB }) => {
    const feeds = {
      a: double(random(1, swapped([5, 1, 2, 3], transA))),
      b: double(random(2, swapped([4, 3, 2], transB))),
    };
    const { y, error } = await run(feeds, (g, { a, b }) =>
      g.matmul(a!, b!, { transA, transB, alpha: -0.3 }),
    );
    expectClose(y, product(feeds.a, feeds.b, Number(transA), Number(transB), -0.3));
    expect(error).toBeLessThan(1e-8);
  });
});

test("softplus in double precision equals ln(1 + eˣ) and neither overflows nor vanishes", async () => {
  const feeds = { x: double(nd([7], [-1000, -40, -1, 0, 1, 40, 1000])) };
  const { y, error } = await run(feeds, (g, { x }) => g.softplus(x!));
  expectClose(
    nd([5], y.data.slice(1, 6)),
    elementwise((x) => Math.log1p(Math.exp(x)))(nd([5], feeds.x.data.slice(1, 6))),
  );
  expect([y.data[0], y.data[6]]).toEqual([0, 1000]);
  expect(error).toBeLessThan(1e-6); // the differences cross the kinks of max and |x| at 0
});

describe("reshape", () => {
  const numbers = random(1, [2, 3, 4]);
  const cases: readonly { from: Shape; to: Shape; sizes: number[] }[] = [
    { from: ["batch", "tokens", 4], to: ["rows", 4], sizes: [6, 4] },
    { from: ["batch", "tokens", 4], to: ["batch", "tokens", 2, 2], sizes: [2, 3, 2, 2] },
    { from: ["batch", "tokens", 4], to: ["batch", 1, "tokens", 4], sizes: [2, 1, 3, 4] },
    { from: ["batch", "tokens", 4], to: ["tokens", "batch", 4], sizes: [3, 2, 4] },
    { from: ["batch", "tokens", 4], to: [4, "tokens", "rest"], sizes: [4, 3, 2] },
    { from: [2, 3, 4], to: [3, 8], sizes: [3, 8] },
  ];
  test.each(cases.map((each) => ({ ...each, says: `${show(each.from)} to ${show(each.to)}` })))(
    "finds the sizes of $says",
    async ({ from, to, sizes }) => {
      const { y, error } = await run({ x: double(numbers, from) }, (g, { x }) => g.reshape(x!, to));
      expectClose(y, nd(sizes, numbers.data));
      expect(error).toBeLessThan(1e-8);
    },
  );
  test("splits rows again into the batch and tokens of an input", async () => {
    const feeds = { x: double(numbers, ["batch", "tokens", 4]) };
    const { y, error } = await run(feeds, (g, { x }) =>
      g.reshape(g.reshape(x!, ["rows", 4]), ["batch", "tokens", 4]),
    );
    expectClose(y, numbers);
    expect(error).toBeLessThan(1e-8);
  });
  test("refuses two sizes that nothing says", () => {
    const g = new Graph();
    const x = g.input("x", "float32", ["rows", 4]);
    expect(() => g.reshape(x, ["a", "b", 2])).toThrow(/\[a, b, 2\] cannot be worked out/);
  });
});

test("sums and means without axes reduce to a scalar", async () => {
  const feeds = { x: double(nd([2, 2], [1, 2, 3, 6]), ["b", 2]) };
  const { y, error } = await run(feeds, (g, { x }) => g.mul(g.sum(x!), g.mean(x!)));
  expectClose(y, nd([], [36]));
  expect(error).toBeLessThan(1e-8);
});

test("one number is one constant", () => {
  const g = new Graph();
  expect(g.scalar(0.5)).toBe(g.scalar(0.5));
  expect(g.scalar(0.5, "float64")).not.toBe(g.scalar(0.5));
  expect(g.initializers).toHaveLength(2);
});

describe("refusals name what does not fit", () => {
  const cases: readonly [string, (g: Graph, f: (shape: Shape) => Value) => unknown, RegExp][] = [
    ["sizes", (g, f) => g.add(f([2, 3]), f([4])), /\[2, 3\] with \[4\]/],
    ["symbols", (g, f) => g.mul(f(["a", 3]), f(["b", 3])), /\[a, 3\] with \[b, 3\]/],
    ["a symbol and a size", (g, f) => g.less(f(["a"]), f([3])), /\[a\] with \[3\]/],
    ["types", (g, f) => g.add(f([2]), g.scalar(1, "float64")), /float32 and float64/],
    ["types of a comparison", (g, f) => g.less(f([2]), g.scalar(1, "int64")), /float32 and int64/],
    ["inner sizes", (g, f) => g.matmul(f([2, 3]), f([4, 5])), /\[2, 3\] · \[4, 5\]/],
    [
      "transposed",
      (g, f) => g.matmul(f([2, 3]), f([3, 5]), { transB: true }),
      /\[2, 3\] · \[3, 5\]/,
    ],
    ["batches", (g, f) => g.matmul(f([2, 1, 1]), f([3, 1, 1])), /\[2\] with \[3\]/],
    ["vectors", (g, f) => g.matmul(f([3]), f([3, 5])), /\[3\] · \[3, 5\]/],
    ["parts", (g, f) => g.concat([f([2, 3]), f([3, 3])], 1), /\[2, 3\] and \[3, 3\] along axis 1/],
    [
      "unknown parts",
      (g, f) => g.concat([f(["a", 3]), f(["a", 3])], 0),
      /the size a must be known/,
    ],
    ["elements", (g, f) => g.reshape(f([2, 3]), [4]), /\[2, 3\] does not fill \[4\]/],
    ["a stretch", (g, f) => g.expandLike(f([2]), f([3])), /\[2\] with \[3\]/],
    ["a shrink", (g, f) => g.expandLike(f([3]), f([1])), /\[3\] does not stretch to \[1\]/],
    ["a slice", (g, f) => g.slice(f([2, 3]), 1, 1, 4), /1 to 4 is outside of axis 1 of \[2, 3\]/],
    ["an unknown slice", (g, f) => g.slice(f(["a"]), 0, 0, 1), /the size a must be known/],
    ["an order", (g, f) => g.transpose(f([2, 3]), [0, 0]), /\[0, 0\] is not an order.* \[2, 3\]/],
    ["an axis", (g, f) => g.sum(f([2, 3]), 2), /axis 2 is outside of rank 2/],
    ["a constant", (g) => g.constant("float32", [2], new Float32Array(3)), /3 elements .* \[2\]/],
    ["a sum back", (g, f) => g.sumTo(f([2, 3]), f([2, 2])), /\[2, 3\] with \[2, 2\]/],
    ["a sum up", (g, f) => g.sumTo(f([1, 3]), f([2, 3])), /\[2, 3\] was not broadcast to \[1, 3\]/],
  ];
  test.each(cases)("%s", (_, build, message) => {
    const g = new Graph();
    const attempt = () => build(g, (shape) => g.input(`x${g.inputs.length}`, "float32", shape));
    expect(attempt).toThrow(InvariantError);
    expect(attempt).toThrow(message);
  });
});

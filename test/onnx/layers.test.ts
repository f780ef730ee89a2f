/** The layers against their definitions, computed plainly in double precision, and their gradients. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/onnx/graph.ts";
import {
  groupedAttention,
  type HeadSizes,
  linear,
  rmsNorm,
  rotaryTables,
  segmentMask,
  silu,
  swiglu,
} from "../../src/onnx/layers.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { at, generate, type Nd, nd, random, total } from "../support/arrays.ts";
import { gradientError } from "../support/gradients.ts";
import { evaluate, type Feeds, feed, inputs } from "../support/graphs.ts";
import { elementwise, row, softmax, sum } from "../support/naive.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const double = (numbers: Nd) => feed("float64", numbers);
const single = (numbers: Nd) => feed("float32", numbers);

/** A layer over inputs of the names and numbers given. */
interface Layer<F extends Feeds> {
  readonly feeds: F;
  readonly build: (g: Graph, x: { readonly [K in keyof F]: Value }) => Value;
}

async function compute<F extends Feeds>({ feeds, build }: Layer<F>): Promise<Nd> {
  const g = new Graph();
  const y = build(g, inputs(g, feeds));
  return (await evaluate(runtime, g, { y }, feeds)).y;
}

async function gradientErrorOf<F extends Feeds>(
  layer: Layer<F>,
  wanted: (keyof F & string)[],
  step = 1e-3,
) {
  const g = new Graph();
  const y = layer.build(g, inputs(g, layer.feeds));
  return gradientError(runtime, { g, y, feeds: layer.feeds, wanted }, { step });
}

function expectClose(actual: Nd, expected: Nd, tolerance = 1e-12): void {
  expect(actual.shape).toEqual(expected.shape);
  const differences = actual.data.map((value, i) => Math.abs(value - expected.data[i]!));
  expect(Math.max(...differences)).toBeLessThan(tolerance);
}

describe("linear", () => {
  const feeds = {
    x: double(random(1, [4, 3])),
    weight: double(random(2, [2, 3])),
    bias: double(random(3, [2])),
  };
  const withBias: Layer<typeof feeds> = {
    feeds,
    build: (g, { x, weight, bias }) => linear(g, x, weight, bias),
  };
  const expected = (bias: Nd) =>
    generate([4, 2], ([i, o]) => {
      const term = (k: number) => at(feeds.x, [i!, k]) * at(feeds.weight, [o!, k]);
      return total(3, term) + at(bias, [o!]);
    });

  test("multiplies by the transposed weight and adds the bias", async () => {
    expectClose(await compute(withBias), expected(feeds.bias));
  });
  test("adds nothing without a bias", async () => {
    const plain = {
      feeds,
      build: (g: Graph, x: Record<string, Value>) => linear(g, x["x"]!, x["weight"]!),
    };
    expectClose(await compute(plain), expected(nd([2], [0, 0])));
  });
  test("has the gradient differences give", async () => {
    expect(await gradientErrorOf(withBias, ["x", "weight", "bias"])).toBeLessThan(1e-8);
  });
});

describe("rmsNorm", () => {
  const layerOf = (type: typeof double) => {
    const feeds = { x: type(random(1, [3, 2, 4])), scale: type(random(2, [4])) };
    const build: Layer<typeof feeds>["build"] = (g, { x, scale }) => rmsNorm(g, x, scale, 0.1);
    return { feeds, build };
  };

  test("divides by the root of the mean square plus ε", async () => {
    const { feeds } = layerOf(double);
    const expected = generate([3, 2, 4], ([a, b, i]) => {
      const meanSquare = sum(row(feeds.x, a!, b!).map((each) => each ** 2)) / 4;
      return (at(feeds.x, [a!, b!, i!]) / Math.sqrt(meanSquare + 0.1)) * at(feeds.scale, [i!]);
    });
    expectClose(await compute(layerOf(double)), expected);
    expectClose(await compute(layerOf(single)), expected, 1e-6);
  });
  test("has the gradient differences give, in both precisions", async () => {
    expect(await gradientErrorOf(layerOf(double), ["x", "scale"])).toBeLessThan(1e-8);
    expect(await gradientErrorOf(layerOf(single), ["x", "scale"], 1 / 16)).toBeLessThan(1e-4);
  });
});

describe("silu and swiglu", () => {
  const feeds = { gate: double(random(1, [3, 4], -4, 4)), up: double(random(2, [3, 4])) };
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

  test("are x·σ(x), and that times the other half", async () => {
    const plain = await compute({ feeds, build: (g, { gate }) => silu(g, gate) });
    expectClose(plain, elementwise((x) => x * sigmoid(x))(feeds.gate));
    const gated = await compute({ feeds, build: (g, { gate, up }) => swiglu(g, gate, up) });
    expectClose(gated, elementwise((x, up) => x * sigmoid(x) * up)(feeds.gate, feeds.up));
  });
  test("have the gradient differences give", async () => {
    const layer: Layer<typeof feeds> = { feeds, build: (g, { gate, up }) => swiglu(g, gate, up) };
    expect(await gradientErrorOf(layer, ["gate", "up"])).toBeLessThan(1e-8);
  });
});

describe("rotaryTables", () => {
  const { cos, sin } = rotaryTables(50, 6, 1000);

  test("turn pair i by position · 1000^(−2i/6): 1, 1/10 and 1/100 radians a position", () => {
    for (const [i, frequency] of [1, 0.1, 0.01].entries()) {
      for (const position of [0, 1, 7, 49]) {
        expect(cos[position * 3 + i]).toBeCloseTo(Math.cos(position * frequency), 6);
        expect(sin[position * 3 + i]).toBeCloseTo(Math.sin(position * frequency), 6);
      }
    }
  });
  test("add up: the turn by a + b is the turn by a after the turn by b", () => {
    for (let i = 0; i < 3; i++) {
      const [c, s] = [(p: number) => cos[p * 3 + i]!, (p: number) => sin[p * 3 + i]!];
      expect(c(30)).toBeCloseTo(c(13) * c(17) - s(13) * s(17), 6);
      expect(s(30)).toBeCloseTo(s(13) * c(17) + c(13) * s(17), 6);
    }
  });
});

describe("groupedAttention", () => {
  const [BATCH, TOKENS] = [2, 3];
  const kinds: readonly HeadSizes[] = [
    { heads: 4, kvHeads: 2, headDim: 6 },
    { heads: 3, kvHeads: 1, headDim: 4 },
    { heads: 2, kvHeads: 2, headDim: 2 },
  ];
  /** Which tokens see which: causal in the first sequence; in the second, token 2 sees itself alone. */
  const sees = (b: number, query: number, key: number) =>
    b === 0 ? key <= query : key <= query && (query < 2 || key === 2);

  const layerOf = (sizes: HeadSizes) => {
    const { heads, kvHeads, headDim } = sizes;
    const feeds = {
      q: double(random(1, [BATCH, TOKENS, heads, headDim])),
      k: double(random(2, [BATCH, TOKENS, kvHeads, headDim])),
      v: double(random(3, [BATCH, TOKENS, kvHeads, headDim])),
      mask: double(
        generate([BATCH, 1, 1, TOKENS, TOKENS], ([b, , , i, j]) => (sees(b!, i!, j!) ? 0 : -1e9)),
      ),
    };
    const build: Layer<typeof feeds>["build"] = (g, { q, k, v, mask }) =>
      groupedAttention(g, q, k, v, mask, sizes);
    return { feeds, build };
  };

  /** One head of one query at a time, over the keys it sees. */
  function expected({ q, k, v }: Record<"q" | "k" | "v", Nd>, sizes: HeadSizes): Nd {
    const { heads, kvHeads, headDim } = sizes;
    return generate(q.shape, ([b, t, head, i]) => {
      const shared = Math.floor(head! / (heads / kvHeads));
      const seen = [0, 1, 2].filter((key) => sees(b!, t!, key));
      const dot = (key: number) =>
        total(headDim, (j) => at(q, [b!, t!, head!, j]) * at(k, [b!, key, shared, j]));
      const weights = softmax(seen.map((key) => dot(key) / Math.sqrt(headDim)));
      return sum(seen.map((key, n) => weights[n]! * at(v, [b!, key, shared, i!])));
    });
  }

  test.each(kinds)("mixes what is seen: $heads heads on $kvHeads of $headDim", async (sizes) => {
    const layer = layerOf(sizes);
    expectClose(await compute(layer), expected(layer.feeds, sizes));
  });
  test.each(kinds)("has the gradient differences give: $heads on $kvHeads", async (sizes) => {
    expect(await gradientErrorOf(layerOf(sizes), ["q", "k", "v"])).toBeLessThan(1e-8);
  });
});

test("segmentMask lets a token see itself and earlier tokens of its own segment", async () => {
  const feeds = {
    segments: feed("int64", nd([2, 4], [0, 0, 1, 1, 2, 2, 2, -1]), ["batch", "tokens"]),
    positions: feed("int64", nd([2, 4], [0, 1, 0, 1, 0, 1, 2, 0]), ["batch", "tokens"]),
  };
  const mask = await compute({
    feeds,
    build: (g, { segments, positions }) => segmentMask(g, segments, positions),
  });
  const visible = [
    ["x···", "xx··", "··x·", "··xx"],
    ["x···", "xx··", "xxx·", "···x"],
  ];
  const expected = generate([2, 1, 1, 4, 4], ([b, , , i, j]) =>
    visible[b!]![i!]![j!] === "x" ? 0 : -1e9,
  );
  expect(mask.shape).toEqual(expected.shape);
  expect(mask.data).toEqual(expected.data);
});

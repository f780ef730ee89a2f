/** The layers against their definitions, computed plainly in double precision, and their gradients. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/onnx/graph.ts";
import {
  type AttentionSizes,
  gated,
  geluTanh,
  groupedAttention,
  linear,
  rmsNorm,
  segmentMask,
  silu,
  softcap,
} from "../../src/onnx/layers.ts";
import { rotaryFrequencies, rotaryTables } from "../../src/onnx/rotary.ts";
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

describe("the gates", () => {
  const feeds = { gate: double(random(1, [3, 4], -4, 4)), up: double(random(2, [3, 4])) };
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  const gelu = (x: number) =>
    0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

  test("are x·σ(x) or the tanh form of GELU, and that times the other half", async () => {
    const plain = await compute({ feeds, build: (g, { gate }) => silu(g, gate) });
    expectClose(plain, elementwise((x) => x * sigmoid(x))(feeds.gate));
    const smooth = await compute({ feeds, build: (g, { gate }) => geluTanh(g, gate) });
    expectClose(smooth, elementwise(gelu)(feeds.gate));
    const whole = await compute({ feeds, build: (g, { gate, up }) => gated(g, "silu", gate, up) });
    expectClose(whole, elementwise((x, up) => x * sigmoid(x) * up)(feeds.gate, feeds.up));
  });
  test.each(["silu", "gelu-tanh"] as const)(
    "%s has the gradient differences give",
    async (kind) => {
      const layer: Layer<typeof feeds> = {
        feeds,
        build: (g, { gate, up }) => gated(g, kind, gate, up),
      };
      expect(await gradientErrorOf(layer, ["gate", "up"])).toBeLessThan(1e-8);
    },
  );
  test("a soft cap is cap·tanh(x/cap), or nothing", async () => {
    const capped = await compute({ feeds, build: (g, { gate }) => softcap(g, gate, 2) });
    expectClose(capped, elementwise((x) => 2 * Math.tanh(x / 2))(feeds.gate));
    const g = new Graph();
    const x = g.input("x", "float64", [1]);
    expect(softcap(g, x, null)).toBe(x);
  });
});

describe("rotaryTables", () => {
  const { cos, sin } = rotaryTables(50, 6, { theta: 1000, scaling: null });

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

describe("rotaryFrequencies", () => {
  const plain = rotaryFrequencies(8, { theta: 10_000, scaling: null });
  test("linear: all divided", () => {
    const scaling = { type: "linear", factor: 8 } as const;
    expect(rotaryFrequencies(8, { theta: 10_000, scaling })).toEqual(plain.map((f) => f / 8));
  });
  test("llama3: short waves kept, long ones divided, between them in between", () => {
    const bounds = { lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 64 };
    const scaling = { type: "llama3", factor: 8, ...bounds } as const;
    const scaled = rotaryFrequencies(8, { theta: 10_000, scaling });
    // Wavelengths 2π, 20π, 200π and 2000π; kept below 64/4, divided beyond 64.
    const turns = 64 / (20 * Math.PI); // 1.0186: just inside
    const keep = (turns - 1) / 3;
    const between = 0.1 * keep + (0.1 / 8) * (1 - keep);
    [1, between, 0.01 / 8, 0.001 / 8].forEach((f, i) => {
      expect(scaled[i]).toBeCloseTo(f, 12);
    });
  });
  test("yarn: the first dimensions kept, the last divided, the tables enlarged", () => {
    const bounds = { betaFast: 2, betaSlow: 1, originalContext: 64, truncate: true };
    const scaling = { type: "yarn", factor: 4, attentionFactor: 1.5, ...bounds } as const;
    // 8·ln(64/2π/turns)/(2·ln 10,000): 0.706 for 2 turns, 1.008 for 1, so from 0 to 2.
    const expected = [1, 0.1 * 0.5 + (0.1 / 4) * 0.5, 0.01 / 4, 0.001 / 4];
    rotaryFrequencies(8, { theta: 10_000, scaling }).forEach((f, i) => {
      expect(f).toBeCloseTo(expected[i]!, 12);
    });
    expect(rotaryTables(1, 8, { theta: 10_000, scaling }).cos[0]).toBe(1.5);
  });
});

describe("groupedAttention", () => {
  const [BATCH, TOKENS] = [2, 3];
  const kinds: readonly AttentionSizes[] = [
    { heads: 4, kvHeads: 2, headDim: 6, attentionScale: 6 ** -0.5, attentionSoftcap: null },
    { heads: 3, kvHeads: 1, headDim: 4, attentionScale: 0.3, attentionSoftcap: null },
    { heads: 2, kvHeads: 2, headDim: 2, attentionScale: 0.7, attentionSoftcap: 0.5 },
  ];
  /** Which tokens see which: causal in the first sequence; in the second, token 2 sees itself alone. */
  const sees = (b: number, query: number, key: number) =>
    b === 0 ? key <= query : key <= query && (query < 2 || key === 2);

  const layerOf = (sizes: AttentionSizes) => {
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
  function expected({ q, k, v }: Record<"q" | "k" | "v", Nd>, sizes: AttentionSizes): Nd {
    const { heads, kvHeads, headDim, attentionScale, attentionSoftcap: cap } = sizes;
    const capped = (x: number) => (cap === null ? x : cap * Math.tanh(x / cap));
    return generate(q.shape, ([b, t, head, i]) => {
      const shared = Math.floor(head! / (heads / kvHeads));
      const seen = [0, 1, 2].filter((key) => sees(b!, t!, key));
      const dot = (key: number) =>
        total(headDim, (j) => at(q, [b!, t!, head!, j]) * at(k, [b!, key, shared, j]));
      const weights = softmax(seen.map((key) => capped(attentionScale * dot(key))));
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

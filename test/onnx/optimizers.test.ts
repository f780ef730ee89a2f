/** The optimiser's step, several times over, against the formulas in double precision. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encode } from "../../src/onnx/encode.ts";
import { Graph } from "../../src/onnx/graph.ts";
import {
  type AdamOptions,
  adamW,
  constantSchedule,
  cosineSchedule,
  globalNorm,
  linearSchedule,
} from "../../src/onnx/optimizers.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { nd, random } from "../support/arrays.ts";
import { evaluate, feed, inputs } from "../support/graphs.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

interface Parameter {
  readonly weight: number[];
  readonly first: number[];
  readonly second: number[];
}
type Parameters = readonly Parameter[];

const STEPS = 6;
/** A matrix that decays and a vector that does not. */
const DECAYS = [true, false];
const start = (): Parameters =>
  [random(1, [6]), random(2, [3])].map(({ data }) => ({
    weight: [...data],
    first: data.map(() => 0),
    second: data.map(() => 0),
  }));
/** Norms between 1.6 and 3. */
const gradientsAt = (step: number) => [random(10 + step, [6]).data, random(20 + step, [3]).data];

interface Settings {
  readonly rate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly clipNorm: number;
}

/** Kingma & Ba's algorithm 1 and Loshchilov & Hutter's decay, in the order they print. */
function plainStep(parameters: Parameters, step: number, s: Settings): Parameters {
  const gradients = gradientsAt(step);
  const norm = Math.hypot(...gradients.flat());
  const clip = Math.min(1, s.clipNorm / norm);
  return parameters.map(({ weight, first, second }, i) => {
    const g = gradients[i]!.map((each) => each * clip);
    const m = first.map((each, j) => s.beta1 * each + (1 - s.beta1) * g[j]!);
    const v = second.map((each, j) => s.beta2 * each + (1 - s.beta2) * g[j]! ** 2);
    const next = weight.map((w, j) => {
      const mean = m[j]! / (1 - s.beta1 ** step);
      const variance = v[j]! / (1 - s.beta2 ** step);
      const decay = DECAYS[i] ? s.weightDecay * w : 0;
      return w - s.rate * (mean / (Math.sqrt(variance) + s.epsilon) + decay);
    });
    return { weight: next, first: m, second: v };
  });
}

/** The same steps by one graph, each fed with what the last one gave. */
async function graphSteps(options: AdamOptions) {
  const g = new Graph();
  const parameters = start().map(({ weight }, i) => {
    const value = (name: string) => g.input(`${name}${i}`, "float32", [weight.length]);
    const [first, second] = [value("first"), value("second")];
    return {
      weight: value("weight"),
      gradient: value("gradient"),
      first,
      second,
      decay: DECAYS[i]!,
    };
  });
  const gradientNorm = globalNorm(
    g,
    parameters.map(({ gradient }) => gradient),
  );
  const step = adamW(
    g,
    parameters,
    { step: g.input("step", "float32", []), gradientNorm },
    options,
  );
  step.updated.forEach((next, i) => {
    for (const name of ["weight", "first", "second"] as const)
      g.output(`next ${name}${i}`, next[name]);
  });
  g.output("norm", gradientNorm);
  const session = await runtime.session(encode(g), { threads: 1 });
  const vector = (data: readonly number[]) =>
    runtime.tensor("float32", [data.length], Float32Array.from(data));
  let current = start();
  const norms: number[] = [];
  for (let t = 1; t <= STEPS; t++) {
    const feeds = current.flatMap(({ weight, first, second }, i) => [
      [`weight${i}`, vector(weight)] as const,
      [`first${i}`, vector(first)] as const,
      [`second${i}`, vector(second)] as const,
      [`gradient${i}`, vector(gradientsAt(t)[i]!)] as const,
    ]);
    const at = runtime.tensor("float32", [], Float32Array.of(t));
    const results = await session.evaluate({ ...Object.fromEntries(feeds), step: at });
    const numbers = (name: string) => Array.from(results[name]!.data, Number);
    current = current.map((_, i) => ({
      weight: numbers(`next weight${i}`),
      first: numbers(`next first${i}`),
      second: numbers(`next second${i}`),
    }));
    norms.push(numbers("norm")[0]!);
  }
  session.dispose();
  return { current, norms };
}

describe("adamW", () => {
  const base = {
    rate: 0.05,
    beta1: 0.8,
    beta2: 0.95,
    epsilon: 1e-3,
    weightDecay: 0,
    clipNorm: 100,
  };
  const cases: readonly { says: string; settings: Settings }[] = [
    { says: "without decay or clipping", settings: base },
    { says: "with decay", settings: { ...base, weightDecay: 0.3 } },
    { says: "with clipping", settings: { ...base, clipNorm: 0.5 } },
    {
      says: "with both, and slow moments",
      settings: { ...base, beta2: 0.999, weightDecay: 0.1, clipNorm: 2 },
    },
  ];
  test.each(cases)("takes the steps of the formulas $says", async ({ settings }) => {
    const { rate, ...options } = settings;
    const { current } = await graphSteps({ schedule: (g) => g.scalar(rate), ...options });
    let expected = start();
    for (let t = 1; t <= STEPS; t++) expected = plainStep(expected, t, settings);
    for (const [i, parameter] of expected.entries()) {
      for (const name of ["weight", "first", "second"] as const) {
        for (const [j, value] of parameter[name].entries())
          expect(current[i]![name][j]).toBeCloseTo(value, 5);
      }
    }
  });

  test("reports the norm of all gradients together, before clipping", async () => {
    const { norms } = await graphSteps({ schedule: (g) => g.scalar(0), clipNorm: 0.5 });
    for (const [i, norm] of norms.entries())
      expect(norm).toBeCloseTo(Math.hypot(...gradientsAt(i + 1).flat()), 5);
  });
});

async function rates(schedule: ReturnType<typeof cosineSchedule>, steps: number[]) {
  const g = new Graph();
  const feeds = { step: feed("float32", nd([steps.length], steps)) };
  const rate = schedule(g, inputs(g, feeds).step);
  return (await evaluate(runtime, g, { rate }, feeds)).rate.data;
}

const expectClose = (actual: readonly number[], expected: number[]) => {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((each, i) => {
    expect(actual[i]).toBeCloseTo(each, 6);
  });
};

describe("cosineSchedule", () => {
  test("rises linearly to the peak, falls by half a cosine to the floor, and stays there", async () => {
    const schedule = cosineSchedule(0.2, 10, 110, 0.1);
    const steps = [0, 1, 5, 10, 35, 60, 85, 110, 1000];
    const quarter = 0.2 * (1 - 0.9 * (1 - Math.SQRT1_2) * 0.5);
    const threeQuarters = 0.2 * (1 - 0.9 * (1 + Math.SQRT1_2) * 0.5);
    const expected = [0, 0.02, 0.1, 0.2, quarter, 0.11, threeQuarters, 0.02, 0.02];
    expectClose(await rates(schedule, steps), expected);
  });
  test("starts to fall at once without a warm-up, and may fall to nothing", async () => {
    expectClose(await rates(cosineSchedule(1, 0, 4, 0), [2, 4, 5]), [0.5, 0, 0]);
  });
});

describe("linearSchedule and constantSchedule", () => {
  test("rise over the warm-up, then fall in a line to the floor, or stay", async () => {
    const linear = linearSchedule(0.2, 10, 110, 0.1);
    expectClose(await rates(linear, [1, 5, 10, 60, 110, 500]), [0.02, 0.1, 0.2, 0.11, 0.02, 0.02]);
    expectClose(await rates(constantSchedule(0.2, 4), [1, 4, 5, 90_000]), [0.05, 0.2, 0.2, 0.2]);
    expectClose(await rates(constantSchedule(0.2, 0), [1]), [0.2]);
  });
});

/**
 * Gradients by reverse mode against central differences, both through the real runtime. For the
 * differences the graph gives nothing but y; weighting and summing are done here, in double.
 */
import { createRandom } from "../../src/base/random.ts";
import { backward } from "../../src/onnx/backward.ts";
import type { Graph, Value } from "../../src/onnx/graph.ts";
import type { Runtime, Session, Tensor } from "../../src/onnx/runtime/index.ts";
import { show } from "../../src/onnx/shapes.ts";
import { type Nd, random, total } from "./arrays.ts";
import { evaluate, type Feeds, feed, openGraph, tensors } from "./graphs.ts";

export interface Question {
  readonly g: Graph;
  /** Of any shape; what is differentiated is L = Σ weighting ⊙ y with random weights. */
  readonly y: Value;
  readonly feeds: Feeds;
  /** The inputs by which L is differentiated, by name. */
  readonly wanted: readonly string[];
}

/** How differences are taken: from five points, so that their error is of order step⁴. */
export interface Differences {
  /** 1e-3 suits float64. In float32 a larger step drowns the rounding; a linear function stands any. */
  readonly step?: number;
  /** At most so many elements of each input, drawn at random. */
  readonly samples?: number;
}

/**
 * The largest difference between ∂L/∂x by `backward` and by differences over all elements of all wanted
 * inputs, relative to the largest component of that input's gradient. A gradient of another shape than
 * its input's is infinitely wrong.
 */
export async function gradientError(
  runtime: Runtime,
  question: Question,
  how: Differences = {},
): Promise<number> {
  const { g, y, feeds, wanted } = question;
  const { weighting, slopes } = await measure(runtime, question, how);
  const weights = g.input("weighting", y.dtype, y.shape);
  const values = wanted.map((name) => g.inputs.find((input) => input.name === name)!);
  const gradients = backward(g, g.sum(g.mul(y, weights)), values);
  const outputs = Object.fromEntries(wanted.map((name, i) => [`by ${name}`, gradients[i]!]));
  const given = { ...feeds, weighting: feed(y.dtype, weighting) };
  const analytic = await evaluate(runtime, g, outputs, given);
  return Math.max(
    ...wanted.map((name) => relativeError(analytic[`by ${name}`]!, slopes.get(name)!)),
  );
}

/** The largest |∂L/∂x| by differences alone, for what claims to have no gradient. */
export async function largestSlope(runtime: Runtime, question: Question): Promise<number> {
  const { slopes } = await measure(runtime, question, {});
  return Math.max(...[...slopes.values()].flatMap(({ at }) => [...at.values()].map(Math.abs)));
}

/** Difference quotients of some elements of an input. */
interface Slopes {
  readonly shape: readonly number[];
  readonly at: ReadonlyMap<number, number>;
}

function relativeError(analytic: Nd, { shape, at }: Slopes): number {
  if (show(analytic.shape) !== show(shape)) return Infinity;
  const largest = Math.max(...[...at.values()].map(Math.abs));
  const errors = [...at].map(([i, slope]) => Math.abs(analytic.data[i]! - slope));
  return Math.max(...errors.map((error) => (error === 0 ? 0 : error / largest)));
}

async function measure(
  runtime: Runtime,
  { g, y, feeds, wanted }: Question,
  { step = 1e-3, samples = 40 }: Differences,
): Promise<{ weighting: Nd; slopes: ReadonlyMap<string, Slopes> }> {
  g.output("probed", y);
  const session = await openGraph(runtime, g);
  const given = tensors(runtime, feeds);
  const { probed } = await session.evaluate(given);
  const weighting = random(99, probed!.shape, 0.5, 1.5);
  const target = runtime.tensor(y.dtype, probed!.shape);
  const loss = lossOf(session, given, target, weighting);
  const slopes = wanted.map((name) => {
    const { shape, data } = given[name]!;
    const slope = (i: number) => slopeAt(loss, data as Float64Array, i, step); // wanted inputs are real
    return [name, { shape, at: new Map(sample(data.length, samples).map((i) => [i, slope(i)])) }];
  });
  session.dispose();
  for (const tensor of [target, ...Object.values(given)]) tensor.dispose();
  return { weighting, slopes: new Map(slopes as [string, Slopes][]) };
}

/** L for whatever the tensors hold when it is called. */
function lossOf(session: Session, given: Record<string, Tensor>, y: Tensor, weighting: Nd) {
  const binding = session.bind({ inputs: given, outputs: { probed: y } });
  return () => {
    session.runSync(binding);
    const { data } = y;
    return total(data.length, (i) => weighting.data[i]! * Number(data[i]));
  };
}

/** (8(L(h) − L(−h)) − (L(2h) − L(−2h))) / 12h */
function slopeAt(loss: () => number, data: Float64Array, i: number, step: number): number {
  const start = data[i]!;
  const at = (offset: number) => {
    data[i] = start + offset;
    return loss();
  };
  const slope = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
  data[i] = start;
  return slope;
}

function sample(size: number, samples: number): number[] {
  const draw = createRandom(size);
  const all = Array.from({ length: size }, (_, i) => i);
  if (size <= samples) return all;
  return Array.from({ length: samples }, () => all.splice(draw.integer(all.length), 1)[0]!);
}

/** The graph's draws against the sampler's on running sums, and against sums in double precision. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { RowSampler } from "../../src/engine/sampler.ts";
import { cdfBlock, drawTokens, logSumExp } from "../../src/onnx/draw.ts";
import { encode } from "../../src/onnx/encode.ts";
import { Graph } from "../../src/onnx/graph.ts";
import { openRuntime, type Runtime, type Session } from "../../src/onnx/runtime/index.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { testProvider } from "../support/test-provider.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const random = createRandom(5);
const logitsOf = (rows: number, vocab: number, scale = 3) =>
  Float32Array.from({ length: rows * vocab }, () => scale * random.normal());

describe.each([12, 2050, 4096])("of %d tokens", (vocab) => {
  let session: Session;
  beforeAll(async () => {
    session = await runtime.session(encode(drawGraph(vocab)), { provider: testProvider });
  });
  afterAll(() => session.dispose());

  async function draw(logits: Float32Array, temperatures: number[], uniforms: number[]) {
    const rows = uniforms.length;
    const { token, logprob, total, cdf } = await session.evaluate({
      logits: runtime.tensor("float32", [rows, vocab], logits),
      temperature: runtime.tensor("float32", [rows, 1], Float32Array.from(temperatures)),
      uniform: runtime.tensor("float64", [rows, 1], Float64Array.from(uniforms)),
    });
    return { token: token!.data, logprob: logprob!.data, total: total!.data, cdf: cdf!.data };
  }

  test("are the sampler's, from the same bits and the same uniform", async () => {
    const rows = 64;
    const logits = logitsOf(rows, vocab);
    const uniforms = Array.from({ length: rows }, () => random.uniform());
    uniforms.splice(0, 3, 0, 1 - 2 ** -53, 0.5);
    const temperatures = uniforms.map((_, i) => [1, 0.5, 2][i % 3]!);
    const { token, logprob, total, cdf } = await draw(logits, temperatures, uniforms);
    for (const [i, u] of uniforms.entries()) {
      const part = (array: ArrayLike<unknown>) =>
        (array as Float32Array).subarray(i * vocab, (i + 1) * vocab); // all are float32
      const sampling = { ...plainSampling, temperature: temperatures[i]! };
      const sampler = new RowSampler(sampling, { ...random, uniform: () => u });
      const row = { logits: part(logits), logSumExp: Number(total[i]), cdf: part(cdf) };
      const expected = sampler.sample(row);
      expect(Number(token[i])).toBe(expected.id);
      expect(Number(logprob[i])).toBeCloseTo(expected.logprob, 5);
    }
  });

  test("at temperature 0 are the most likely token, of equals the first", async () => {
    const logits = logitsOf(2, vocab);
    logits[7] = 50;
    logits[9] = 50;
    logits[vocab + 11] = 50;
    const { token, logprob } = await draw(logits, [0, 0], [0.9, 0.1]);
    expect(Array.from(token, Number)).toEqual([7, 11]);
    expect(Number(logprob[0])).toBeCloseTo(-Math.LN2, 5);
  });

  test("sums large logits up without overflow", async () => {
    const logits = logitsOf(1, vocab, 1).map((logit) => logit + 300);
    const { total, token } = await draw(logits, [1], [0.3]);
    const exact = 300 + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - 300), 0));
    expect(Number(total[0])).toBeCloseTo(exact, 3);
    expect(Number(token[0])).toBeLessThan(vocab);
  });

  test("never take a token of no probability", async () => {
    const logits = new Float32Array(3 * vocab).fill(-Infinity);
    for (const [i, id] of [0, 5, vocab - 1].entries()) logits[i * vocab + id] = 1;
    const { token } = await draw(logits, [1, 1, 1], [1 - 2 ** -53, 0, 0.5]);
    expect(Array.from(token, Number)).toEqual([0, 5, vocab - 1]);
  });
});

/** The draws, and the running sums that the sampler draws from. */
function drawGraph(vocab: number): Graph {
  const g = new Graph();
  const logits = g.input("logits", "float32", ["selected", vocab]);
  const temperature = g.input("temperature", "float32", ["selected", 1]);
  const uniform = g.input("uniform", "float64", ["selected", 1]);
  const total = logSumExp(g, logits);
  const { token, logprob } = drawTokens(g, logits, total, { temperature, uniform });
  const positive = g.where(g.equal(temperature, g.scalar(0)), g.scalar(1), temperature);
  const block = cdfBlock(vocab);
  const blocks = g.reshape(g.softmax(g.div(logits, positive)), ["selected", vocab / block, block]);
  const sums = g.op("CumSum", [blocks], { axis: 2, reverse: 0 });
  g.output("token", token);
  g.output("logprob", logprob);
  g.output("total", total);
  g.output("cdf", g.reshape(sums, ["selected", vocab]));
  return g;
}

/** A model on a device: what it computes there, what a run gives again, and models in float16. */
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GatewayError } from "../../src/base/errors.ts";
import { Engine } from "../../src/engine/engine.ts";
import { servedWeights } from "../../src/engine/served-weights.ts";
import type { Completion, Sampling } from "../../src/engine/types.ts";
import { encode } from "../../src/onnx/encode.ts";
import { openRuntime, type Runtime, type Tensor } from "../../src/onnx/runtime/index.ts";
import { servingGraph } from "../../src/onnx/serving-graph.ts";
import type { NumberFormat } from "../../src/onnx/serving-weights.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { onCpu, testProvider } from "../support/test-provider.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const { signal } = new AbortController();
const prompt = [3, 14, 15, 9, 26, 5];
const sampling: Sampling = { ...plainSampling, maxTokens: 10, endTokens: new Set(), seed: 1 };
const ids = ({ tokens }: Completion) => tokens.map(({ id }) => id);

async function open(format: NumberFormat = "float32"): Promise<Engine> {
  const model = await loadModel(runtime, tinySource(), "logits", { format });
  return new Engine(model, { sequencesMax: 4, queueSequencesMax: 8 });
}

describe("every provider", () => {
  test("gives the same bits when the same is run again", async () => {
    const [first, second] = [await open(), await open()];
    const run = (engine: Engine) => engine.sample(prompt, 3, sampling, { signal });
    const once = await run(first);
    expect(await run(first)).toEqual(once);
    expect(await run(second)).toEqual(once);
    await Promise.all([first.dispose(), second.dispose()]);
  });

  test("draws, or fetches the logits, as the options ask: both take the most likely token", async () => {
    const engine = await open();
    const greedy = { ...sampling, temperature: 0 };
    const [drawn] = await engine.sample(prompt, 1, greedy, { signal });
    const [fetched] = await engine.sample(prompt, 1, { ...greedy, topLogprobs: 2 }, { signal });
    expect(ids(drawn!)).toEqual(ids(fetched!));
    for (const [t, { id, logprob, top }] of fetched!.tokens.entries()) {
      expect(top[0]).toEqual({ id, logprob });
      expect(drawn!.tokens[t]!.logprob).toBeCloseTo(logprob, 4);
    }
    await engine.dispose();
  });
});

test.skipIf(onCpu)("products, attention and norms are the device's, in whole steps", async () => {
  const graph = servingGraph(tinyConfig, "logits", { provider: testProvider });
  const profilePath = join(tmpdir(), `plumbline-device-test-${process.pid}`);
  const initializers = await servedWeights(runtime, graph, tinySource(), null);
  const options = { provider: testProvider, initializers, profilePath };
  const session = await runtime.session(encode(graph), options);
  await session.evaluate(promptFeeds(testProvider === "cuda" ? "float16" : "float32"), ["token"]);
  const path = session.endProfiling();
  const events = JSON.parse(readFileSync(path, "utf8")) as { cat: string; args?: NodeRun }[];
  rmSync(path);
  session.dispose();
  const heavy = ["Gemm", "MatMul", "GroupQueryAttention", "RMSNormalization", "Softmax", "ArgMax"];
  const runs = events.flatMap(({ args }) => (heavy.includes(args?.op_name ?? "") ? [args!] : []));
  expect(runs.filter(({ op_name: op }) => op === "GroupQueryAttention")).toHaveLength(2);
  expect(new Set(runs.map(({ provider }) => provider)).size).toBe(1);
  expect(runs[0]!.provider).not.toBe("CPUExecutionProvider");
});

/** Of ONNX Runtime's profile. */
interface NodeRun {
  readonly op_name?: string;
  readonly provider?: string;
}

describe("float16", () => {
  test("gives the logits of float32 to a hundredth", async () => {
    const exact = await promptLogits("float32");
    const half = await promptLogits("float16");
    const errors = exact.map((logit, i) => Math.abs(logit - half[i]!));
    expect(Math.max(...errors)).toBeLessThan(1e-2);
    expect(Math.max(...errors)).toBeGreaterThan(0);
  });

  test.skipIf(onCpu)("decodes as float32 does, greedily, where the device has it", async () => {
    const opened = await open("float16").catch((problem: unknown) => problem);
    if (opened instanceof GatewayError && opened.code === "format_unavailable") {
      console.warn(`SKIPPED: ${opened.message}`);
      return;
    }
    if (!(opened instanceof Engine)) throw opened;
    const exact = await open();
    const run = (engine: Engine) =>
      engine.sample(prompt, 1, { ...sampling, temperature: 0 }, { signal });
    const [[found], [expected]] = await Promise.all([run(opened), run(exact)]);
    expect(ids(found!).slice(0, 3)).toEqual(ids(expected!).slice(0, 3));
    expect(found!.tokens[0]!.logprob).toBeCloseTo(expected!.tokens[0]!.logprob, 1);
    await Promise.all([opened.dispose(), exact.dispose()]);
  });
});

/** [tokens · vocab], of the graph for devices; the CPU has all of its operators too. */
async function promptLogits(format: NumberFormat): Promise<number[]> {
  const graph = servingGraph(tinyConfig, "logits", { provider: "webgpu", format });
  const initializers = await servedWeights(runtime, graph, tinySource(), null);
  const session = await runtime.session(encode(graph), { provider: "cpu", initializers });
  const { logits } = await session.evaluate(
    promptFeeds(format === "float16" ? "float16" : "float32"),
    ["logits"],
  );
  session.dispose();
  return Array.from(logits!.data, Number);
}

/** The prompt from an empty cache, the output of every token. */
function promptFeeds(cached: "float32" | "float16"): Record<string, Tensor> {
  const { layers, kvHeads, headDim } = tinyConfig;
  const n = prompt.length;
  const caches = Array.from({ length: layers }, (_, i) => [`past_key_${i}`, `past_value_${i}`]);
  return {
    input_ids: runtime.tensor("int64", [1, n], BigInt64Array.from(prompt, BigInt)),
    lengths: runtime.tensor("int32", [1], Int32Array.of(n - 1)),
    total: runtime.tensor("int32", [], Int32Array.of(n)),
    rows: runtime.tensor(
      "int64",
      [n],
      BigInt64Array.from(prompt, (_, i) => BigInt(i)),
    ),
    temperature: runtime.tensor("float32", [n, 1], new Float32Array(n).fill(1)),
    uniform: runtime.tensor("float64", [n, 1]),
    ...Object.fromEntries(
      caches.flat().map((name) => [name, runtime.tensor(cached, [1, kvHeads, 16, headDim])]),
    ),
  };
}

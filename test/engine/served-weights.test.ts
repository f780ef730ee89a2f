/** Models in fewer bits: near the whole one, under a name of their own, made once and kept. */
import { readdir, truncate } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Engine } from "../../src/engine/engine.ts";
import type { ModelSource } from "../../src/engine/serving-model.ts";
import type { NumberFormat } from "../../src/onnx/serving-weights.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { expectSame } from "../support/test-provider.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";
import { temporaryFolder, testRuntime } from "../support/workspace.ts";

const cacheDir = temporaryFolder();
const runtime = testRuntime();

const whole = tinySource(1, { ...tinyConfig, hiddenSize: 64, intermediateSize: 96 });
const prompt = [3, 1, 4, 1, 5];
const completion = [9, 2, 6, 5, 3, 5, 8];

async function openEngine(format: NumberFormat, source: ModelSource = whole): Promise<Engine> {
  const model = await loadModel(runtime, source, "logits", { format, cacheDir });
  return new Engine(model, { sequencesMax: 8, queueSequencesMax: 8 });
}

async function logprobsOf(engine: Engine): Promise<number[]> {
  const logprobs = await engine.score(prompt, completion, new AbortController());
  await engine.dispose();
  return [...logprobs];
}

test("8 bits are near, 4 bits nearer than nothing, and each has a revision of its own", async () => {
  const [exact, eight, four] = await Promise.all(
    (["float32", "int8", "int4"] as const).map((format) => openEngine(format)),
  );
  expect([exact!.revision, eight!.revision, four!.revision]).toEqual([
    "tiny-1",
    "tiny-1-int8",
    "tiny-1-int4",
  ]);
  const expected = await logprobsOf(exact!);
  const distance = (found: readonly number[]) =>
    Math.max(...found.map((value, t) => Math.abs(value - expected[t]!)));
  const [off8, off4] = [distance(await logprobsOf(eight!)), distance(await logprobsOf(four!))];
  expect(off8).toBeGreaterThan(0);
  expect(off8).toBeLessThan(0.3);
  expect(off4).toBeGreaterThan(off8);
  expect(off4).toBeLessThan(3);
});

test.each(["int8", "int4"] as const)(
  "%s gives the same bits alone and in company",
  async (format) => {
    const engine = await openEngine(format);
    const { signal } = new AbortController();
    const sampling = { ...plainSampling, maxTokens: 12, endTokens: new Set([7]), seed: 5 };
    const [alone] = await engine.sample(prompt, 1, sampling, { signal });
    const crowd = [1, 2, 3, 4, 5, 6, 7].map((seed) =>
      engine.sample([seed, 2 * seed, 3], 1, { ...sampling, seed, maxTokens: 4 + seed }, { signal }),
    );
    const [[among]] = await Promise.all([engine.sample(prompt, 1, sampling, { signal }), ...crowd]);
    await engine.dispose();
    expectSame(among, alone);
  },
);

test("matrices are rounded once: the next start reads them from the disk", async () => {
  const made = await logprobsOf(await openEngine("int8"));
  expect(await readdir(cacheDir)).toContain("tiny-1-8bit.safetensors");
  const asked: string[] = [];
  const watched: ModelSource = {
    ...whole,
    weight: (name) => {
      asked.push(name);
      return whole.weight(name);
    },
  };
  expect(await logprobsOf(await openEngine("int8", watched))).toEqual(made);
  expect(asked.filter((name) => name.includes("_proj"))).toEqual([]);
  expect(asked).toContain("model.norm.weight");
});

test("a damaged file is named", async () => {
  await openEngine("int4").then((engine) => engine.dispose());
  const path = join(cacheDir, "tiny-1-4bit.safetensors");
  await truncate(path, 100);
  await expect(openEngine("int4")).rejects.toMatchObject({
    code: "checkpoint_invalid",
    message: expect.stringContaining(path),
  });
});

/** Adapters as they are written: PEFT's own files again, and what was trained. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { type LoraSettings, loraModules, readAdapter } from "../../src/checkpoints/adapter.ts";
import { withScalarHead } from "../../src/checkpoints/config.ts";
import { readSafetensors } from "../../src/checkpoints/safetensors.ts";
import { writeAdapter } from "../../src/checkpoints/write-adapter.ts";
import { initialLora, trainedLora } from "../../src/train/lora.ts";
import { modelOf, type Published, tinyLlama } from "../support/configs.ts";

const fixture = join(import.meta.dirname, "../fixtures/peft-reward");
let folder = "";
let out = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "adapter-"));
  out = join(folder, "adapter");
});
afterEach(() => rm(folder, { recursive: true }));

const json = async (path: string): Promise<Published> => JSON.parse(await readFile(path, "utf8"));
const settings: LoraSettings = {
  rank: 4,
  alpha: 6,
  isRankStabilized: false,
  modules: ["o_proj", "up_proj", "k_proj", "gate_proj"],
};

test("what PEFT saved of a reward model is written as PEFT wrote it", async () => {
  const published = (await json(join(fixture, "score.json")))["config"] as Published;
  const base = { folder: "", config: withScalarHead(modelOf(published))! };
  const { matrices, head } = await readAdapter(fixture, base.config);
  await writeAdapter(out, { base, settings, matrices, head: head! });
  const [file, config] = ["adapter_model.safetensors", "adapter_config.json"];
  expect(await readSafetensors(join(out, file))).toEqual(
    await readSafetensors(join(fixture, file)),
  );
  const theirs = await json(join(fixture, config));
  // PEFT adds its other usual heads itself, whatever stands there
  for (const [key, value] of Object.entries(await json(join(out, config))))
    expect(key === "modules_to_save" ? ["classifier", ...(value as string[])] : value, key).toEqual(
      theirs[key],
    );
});

test("what was trained comes back bit by bit, with its card", async () => {
  const config = tinyLlama();
  const lora: LoraSettings = { rank: 3, alpha: 5, isRankStabilized: true, modules: loraModules };
  const random = createRandom(1);
  const state = initialLora(config, lora, random);
  for (const [name, values] of state)
    state.set(
      name,
      values.map(() => random.normal()),
    );
  const matrices = trainedLora(config, lora, state);
  const card = "---\nlibrary_name: peft\n---\n";
  await writeAdapter(out, { base: { folder: "base", config }, settings: lora, matrices, card });
  const read = await readAdapter(out, config);
  expect(read.matrices).toEqual(matrices);
  expect(read.matrices.size).toBe(7 * config.layers);
  expect(read.head).toBeUndefined();
  expect(await readFile(join(out, "README.md"), "utf8")).toBe(card);
  expect(await json(join(out, "adapter_config.json"))).toMatchObject({
    base_model_name_or_path: "base",
    task_type: "CAUSAL_LM",
    modules_to_save: null, // vLLM takes nothing else
    target_modules: [...loraModules],
    use_rslora: true,
  });
});

test("is not written where something lies", async () => {
  await writeFile(join(folder, "file"), "kept");
  const config = tinyLlama();
  const writing = writeAdapter(folder, {
    base: { folder: "", config },
    settings,
    matrices: trainedLora(config, settings, initialLora(config, settings, createRandom(1))),
  });
  await expect(writing).rejects.toThrow(/holds files; name one that does not exist/);
  expect(await readdir(folder)).toEqual(["file"]);
});

/** What a checkpoint folder must hold before anything of it is served. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { createRandom } from "../../src/base/random.ts";
import { writeCheckpoint } from "../../src/checkpoints/checkpoint.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { loadPolicy } from "../../src/registry/load.ts";
import { loadReward } from "../../src/registry/load-reward.ts";
import { initialWeights } from "../../src/train/initial-weights.ts";
import { asReward, type Published, tinyLlama } from "../support/configs.ts";

let runtime: Runtime;
let folder: string;
beforeAll(async () => {
  runtime = openRuntime();
  folder = await mkdtemp(join(tmpdir(), "plumbline-test-"));
});
afterAll(async () => {
  runtime.dispose();
  await rm(folder, { recursive: true });
});

const tokenizerFiles = join(import.meta.dirname, "..", "..", "models", "tiny-chat");

/** A tiny reward model with the embedded tokenizer. */
async function writeModel(name: string, changes: Published): Promise<string> {
  const target = join(folder, name);
  const config = tinyLlama({ ...asReward, vocab_size: 1536, ...changes });
  const shapes = weightShapes(config);
  const weights = initialWeights(shapes, config.layers, createRandom(1));
  const shaped = [...weights].map(
    ([key, data]) => [key, { shape: shapes.get(key)!, data }] as const,
  );
  await writeCheckpoint(target, config, new Map(shaped), { dtype: "F32" });
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) {
    await cp(join(tokenizerFiles, file), join(target, file));
  }
  return target;
}

const options = (path: string) => ({
  runtime,
  folder: path,
  provider: "cpu" as const,
  turnstile: new Turnstile(systemClock),
  threads: 1,
});

test("a head size that the runtime cannot serve is named, with those it can", async () => {
  const path = await writeModel("narrow", { head_dim: 8 });
  await expect(loadReward(options(path))).rejects.toMatchObject({
    code: "checkpoint_invalid",
    message: expect.stringMatching(/head size is 8; the runtime serves multiples of 16/),
  });
});

test("a reward model is no policy", async () => {
  const path = await writeModel("reward", {});
  const asPolicy = loadPolicy({ ...options(path), sequencesMax: 4, queueSequencesMax: 4 });
  await expect(asPolicy).rejects.toMatchObject({ code: "architecture_unsupported" });
  const { engine, reward } = await loadReward(options(path));
  expect(reward.id).toBe("reward");
  await engine.dispose();
});

test("a reward model without a chat template is refused, since it scores conversations", async () => {
  const path = await writeModel("mute", {});
  const file = join(path, "tokenizer_config.json");
  const { chat_template: _, ...rest } = JSON.parse(await readFile(file, "utf8"));
  await writeFile(file, JSON.stringify(rest));
  await expect(loadReward(options(path))).rejects.toMatchObject({
    code: "checkpoint_invalid",
    message: expect.stringContaining("has no chat_template"),
  });
});

test("a draft with other tokens than the policy's is refused, one with the same ones serves", async () => {
  const asPolicy = { architectures: ["LlamaForCausalLM"] };
  const [path, same, other] = [
    await writeModel("policy", asPolicy),
    await writeModel("draft", asPolicy),
    await writeModel("stranger", asPolicy),
  ];
  const file = join(other, "tokenizer.json");
  const spelled = (await readFile(file, "utf8")).replace('"Ġthe":', '"Ġteh":');
  await writeFile(file, spelled.replace(/"Ġ the"|"Ġt he",?/g, ""));
  const load = (draft: string) =>
    loadPolicy({ ...options(path), sequencesMax: 4, queueSequencesMax: 4, draft });
  await expect(load(other)).rejects.toMatchObject({
    code: "checkpoint_invalid",
    message: expect.stringContaining("its tokens are not those of the policy"),
  });
  const { engine } = await load(same);
  await engine.dispose();
});

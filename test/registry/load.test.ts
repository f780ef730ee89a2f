/** What a checkpoint folder must hold before anything of it is served. */
import { cp, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { createRandom } from "../../src/base/random.ts";
import { writeCheckpoint } from "../../src/checkpoints/checkpoint.ts";
import { exportOnnx } from "../../src/checkpoints/onnx-export.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import { createAdapters } from "../../src/registry/adapters.ts";
import { loadPolicy } from "../../src/registry/load.ts";
import { loadReward } from "../../src/registry/load-reward.ts";
import { initialWeights } from "../../src/train/initial-weights.ts";
import { asReward, type Published, tinyLlama } from "../support/configs.ts";
import { temporaryFolder, testRuntime } from "../support/workspace.ts";

const folder = temporaryFolder();
const runtime = testRuntime();

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
  expect(reward).toMatchObject({ id: "reward", acceptsPrefixes: true });
  await engine.dispose();
  const whole = await loadReward({ ...options(path), acceptsPrefixes: false });
  expect(whole.reward.acceptsPrefixes).toBe(false);
  await whole.engine.dispose();
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

describe("a folder with an ONNX decoder", () => {
  const limits = { sequencesMax: 4, queueSequencesMax: 4 };
  const policyOf = (path: string, more = {}) =>
    loadPolicy({ ...options(path), ...limits, ...more });
  /** The exports of a tiny policy. */
  async function writeExport(name: string, changes: Published = {}): Promise<string> {
    const policy = { architectures: ["LlamaForCausalLM"], eos_token_id: 2, ...changes };
    const out = join(folder, name);
    await exportOnnx(await writeModel(`${name}-source`, policy), out);
    return out;
  }

  test("serves with tokenizer and template, by the tokens of the checkpoint it was made of", async () => {
    const path = await writeExport("exported");
    const answers = [];
    for (const each of [`${path}-source`, path]) {
      const { policy, engine } = await policyOf(each);
      const prompt = policy.encode({ kind: "text", text: "one two" });
      const control = { signal: new AbortController().signal };
      const sampling = { ...policy.defaults, temperature: 0, maxTokens: 6, seed: 1 };
      const [answer] = await policy.generate(prompt, 1, sampling, control);
      answers.push(answer!.tokens.map(({ id }) => id));
      await engine.dispose();
    }
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[0]).toHaveLength(6);
  });

  test("serves the file that is asked for, else model, else the only one", async () => {
    const path = await writeExport("several");
    const file = (name: string) => join(path, "onnx", `${name}.onnx`);
    await rename(file("model"), file("model_q4"));
    const only = await policyOf(path);
    await cp(file("model_q4"), file("model_fp16"));
    await expect(policyOf(path)).rejects.toMatchObject({
      code: "checkpoint_invalid",
      message: expect.stringMatching(/Set policyOnnxFile to one of: .*model_q4/),
    });
    const asked = await policyOf(path, { onnxFile: "model_fp16" });
    expect(asked.engine.revision).toBe(only.engine.revision); // the same bytes
    await expect(policyOf(path, { onnxFile: "model_q8" })).rejects.toMatchObject({
      message: expect.stringContaining("no model_q8.onnx"),
    });
    for (const { engine } of [only, asked]) await engine.dispose();
  });

  test("takes no number format, no adapter and no larger tokenizer, and says so", async () => {
    const path = await writeExport("plain");
    await expect(policyOf(path, { format: "int8" })).rejects.toMatchObject({
      code: "config_invalid",
    });
    const loaded = await policyOf(path);
    const registry = { add: () => undefined, remove: () => undefined };
    await cp(`${path}-source`, join(folder, "adapters", "mine"), { recursive: true });
    const adapters = createAdapters({ ...loaded, folder: join(folder, "adapters"), registry });
    await expect(adapters.load("mine")).rejects.toMatchObject({
      code: "checkpoint_invalid",
      message: expect.stringContaining("an adapter cannot be added"),
    });
    await loaded.engine.dispose();
    const small = await writeExport("small", { vocab_size: 100 });
    await expect(policyOf(small)).rejects.toMatchObject({
      message: expect.stringMatching(
        /tokenizer has 1536 tokens, and config.json has vocab_size 100/,
      ),
    });
  });
});

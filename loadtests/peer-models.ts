/** The models that the systems are compared on, in the three forms that they read, made once and kept. */
import { existsSync } from "node:fs";
import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { createRandom } from "../src/base/random.ts";
import { type Weight, writeCheckpoint } from "../src/checkpoints/checkpoint.ts";
import { type ModelConfig, parseModelConfig, readModelConfig } from "../src/checkpoints/config.ts";
import { exportGguf, type GgufType } from "../src/checkpoints/gguf.ts";
import { exportOnnx } from "../src/checkpoints/onnx-export.ts";
import { weightShapes } from "../src/checkpoints/weight-shapes.ts";

const TINY_CHAT = join(import.meta.dirname, "../models/tiny-chat");
/** Ignored by git; `rm -r` makes everything anew. */
const MADE = join(import.meta.dirname, "../.build/peers");

export const modelNames = ["tiny-chat", "qwen"] as const;
export type ModelName = (typeof modelNames)[number];

export interface Forms {
  readonly config: ModelConfig;
  readonly checkpoint: string;
  readonly onnx: string;
  readonly gguf: string;
}

/** @param type of the matrices in the GGUF file. */
export async function modelForms(name: ModelName, type: GgufType): Promise<Forms> {
  await mkdir(MADE, { recursive: true });
  const checkpoint = await checkpointOf(name);
  const onnx = join(MADE, `${name}-onnx`);
  const gguf = join(MADE, `${name}-${type}.gguf`);
  if (!existsSync(onnx)) await exportOnnx(checkpoint, onnx);
  if (!existsSync(gguf)) await exportGguf(checkpoint, gguf, type);
  return { config: await readModelConfig(checkpoint), checkpoint, onnx, gguf };
}

/** The folder of safetensors. */
export async function checkpointOf(name: ModelName): Promise<string> {
  return name === "tiny-chat" ? TINY_CHAT : randomCheckpoint(name, qwenShape);
}

/** tiny-chat's shape with room for long contexts. */
export async function longTinyChat(contextTokens: number): Promise<string> {
  const { files } = await readModelConfig(TINY_CHAT);
  const config = { ...files.config, max_position_embeddings: contextTokens };
  return randomCheckpoint(`tiny-chat-${contextTokens}`, config);
}

/** Of Qwen/Qwen2.5-0.5B. */
const qwenShape = {
  architectures: ["Qwen2ForCausalLM"],
  model_type: "qwen2",
  vocab_size: 151_936,
  hidden_size: 896,
  intermediate_size: 4864,
  num_hidden_layers: 24,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  hidden_act: "silu",
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  max_position_embeddings: 32_768,
  tie_word_embeddings: true,
  use_sliding_window: false,
  eos_token_id: 2,
};

/**
 * Norms 1, biases 0, matrices uniform around 0 with GPT-2's deviation 0.02; the vocabulary is tiny-chat's, and rows beyond it stand for
 * nothing. How long a step takes does not depend on the values.
 */
async function randomCheckpoint(name: string, shape: Readonly<Record<string, unknown>>) {
  const folder = join(MADE, name);
  if (existsSync(folder)) return folder;
  await mkdir(MADE, { recursive: true });
  const config = parseModelConfig(name, { config: shape, generation: null });
  const random = createRandom(1);
  const weights = [...weightShapes(config)].map(([weight, sizes]): [string, Weight] => {
    const data = new Float32Array(sizes.reduce((product, size) => product * size, 1));
    if (weight.endsWith("norm.weight")) data.fill(1);
    else if (!weight.endsWith(".bias")) {
      const width = 0.02 * Math.sqrt(12);
      for (let i = 0; i < data.length; i++) data[i] = width * (random.uniform() - 0.5);
    }
    return [weight, { shape: sizes, data }];
  });
  const temporary = `${folder}.tmp`; // half a folder must not be taken for one
  await rm(temporary, { recursive: true, force: true });
  await writeCheckpoint(temporary, config, new Map(weights), { dtype: "F16" });
  for (const file of ["tokenizer.json", "tokenizer_config.json"])
    await copyFile(join(TINY_CHAT, file), join(temporary, file));
  await rename(temporary, folder);
  return folder;
}

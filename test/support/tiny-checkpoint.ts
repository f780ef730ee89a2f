/** A checkpoint of some ten thousand weights with the embedded models' tokenizer, and rows to train it on in milliseconds. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "../../src/base/random.ts";
import { writeCheckpoint } from "../../src/checkpoints/checkpoint.ts";
import { copyTokenizer } from "../../src/checkpoints/tokenizer-copy.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { initialWeights } from "../../src/train/initial-weights.ts";
import { type Published, tinyLlama } from "./configs.ts";

const embedded = join(import.meta.dirname, "../../models/tiny-chat");

/**
 * @returns the folder. @param changes keys of `config.json`.
 * @param scale of matrices: at 1 each next token is nearly as likely as the others.
 */
export async function tinyCheckpoint(
  folder: string,
  changes: Published = {},
  scale = 1,
): Promise<string> {
  const config = tinyLlama({
    vocab_size: 1536,
    hidden_size: 16,
    intermediate_size: 24,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 16,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
    eos_token_id: 2,
    pad_token_id: 0,
    ...changes,
  });
  const shapes = weightShapes(config);
  const weights = initialWeights(shapes, config.layers, createRandom(1));
  const scaled = (data: Float32Array) => data.map((value) => scale * value);
  const shaped = [...shapes].map(([name, shape]) => {
    const data = weights.get(name)!;
    return [name, { shape, data: shape.length > 1 ? scaled(data) : data }] as const;
  });
  mkdirSync(folder, { recursive: true });
  await writeCheckpoint(folder, config, new Map(shaped), { dtype: "F32" });
  await copyTokenizer(embedded, folder);
  return folder;
}

/** @returns the file's path. */
export function jsonLines(path: string, rows: readonly object[]): string {
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

const words = ["red", "green", "blue", "grey", "one", "two", "three", "four"];
const word = (i: number) => words[i % words.length]!;

/** Questions of different lengths with the answer that is wanted. */
export const supervisedRows = (n: number) =>
  Array.from({ length: n }, (_, i) => ({
    prompt: `Say ${word(i)} ${"and again ".repeat(i % 3)}${Math.floor(i / 8)}`,
    completion: `It is ${word(i)}.`,
  }));

export const pairRows = (n: number) =>
  Array.from({ length: n }, (_, i) => ({
    prompt: [{ role: "user", content: `Say ${word(i)} ${Math.floor(i / 8)}` }],
    chosen: [{ role: "assistant", content: `It is ${word(i)}.` }],
    rejected: [{ role: "assistant", content: `No, ${word(i + 3)} and no more of it.` }],
  }));

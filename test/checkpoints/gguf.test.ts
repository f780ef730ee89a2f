/** What is written is read again by a reader of its own, written from the format's description. */
import { copyFile, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Checkpoint, type Weight, writeCheckpoint } from "../../src/checkpoints/checkpoint.ts";
import { toFloat16 } from "../../src/checkpoints/float16.ts";
import { exportGguf, type GgufType } from "../../src/checkpoints/gguf.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { asReward, modelOf, type Published, tinyLlama } from "../support/configs.ts";

const TINY_CHAT = join(import.meta.dirname, "../../models/tiny-chat");
const ALIGNMENT = 32;

let root = "";
let made = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "gguf-"));
});
afterAll(() => rm(root, { recursive: true }));

/** A checkpoint whose values count up, so that each tells where it came from. */
async function folderOf(config: ReturnType<typeof tinyLlama>): Promise<string> {
  const folder = join(root, `model-${made++}`);
  let next = 0;
  const weights = [...weightShapes(config)].map(([name, shape]): [string, Weight] => {
    const length = shape.reduce((a, b) => a * b, 1);
    return [name, { shape, data: Float32Array.from({ length }, () => next++) }];
  });
  await writeCheckpoint(folder, config, new Map(weights), { dtype: "F32" });
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    await copyFile(join(TINY_CHAT, name), join(folder, name));
  return folder;
}

async function exported(folder: string, type: GgufType = "f32") {
  const path = join(root, `out-${made++}.gguf`);
  await exportGguf(folder, path, type);
  return readGguf(await readFile(path));
}

/** A vocabulary of tiny-chat's and four rows more. */
const sizes = { vocab_size: 1540, max_position_embeddings: 16 };
const small = (changes: Published = {}) => tinyLlama({ ...sizes, ...changes });

test("has the settings that llama.cpp asks for", async () => {
  const { settings } = await exported(await folderOf(small({ rope_theta: 5000 })));
  expect(Object.fromEntries(settings)).toMatchObject({
    "general.architecture": "llama",
    "general.file_type": 0,
    "llama.vocab_size": 1540,
    "llama.context_length": 16,
    "llama.embedding_length": 24,
    "llama.block_count": 2,
    "llama.feed_forward_length": 20,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.attention.key_length": 16,
    "llama.attention.value_length": 16,
    "llama.rope.dimension_count": 16,
    "llama.attention.layer_norm_rms_epsilon": Math.fround(1e-5),
    "llama.rope.freq_base": 5000,
  });
});

test("has the vocabulary, one text for each row, and how it is cut", async () => {
  const { settings } = await exported(await folderOf(small()));
  const read = (key: string) => settings.get(`tokenizer.${key}`);
  const { model, added_tokens } = JSON.parse(
    await readFile(join(TINY_CHAT, "tokenizer.json"), "utf8"),
  );
  const tokens = read("ggml.tokens") as string[];
  const types = read("ggml.token_type") as number[];
  expect(tokens.length).toBe(1540);
  for (const [text, id] of Object.entries(model.vocab)) expect(tokens[id as number]).toBe(text);
  for (const { id, content } of added_tokens) expect([tokens[id], types[id]]).toEqual([content, 3]);
  expect(tokens.slice(1535)).toEqual([
    tokens[1535],
    "[PAD1536]",
    "[PAD1537]",
    "[PAD1538]",
    "[PAD1539]",
  ]);
  expect(types.slice(1535)).toEqual([1, 5, 5, 5, 5]);
  expect(read("ggml.merges")).toEqual(model.merges);
  expect(read("ggml.model")).toBe("gpt2");
  expect(read("ggml.pre")).toBe("smollm"); // digits one by one, then GPT-2's words
  expect(read("ggml.eos_token_id")).toBe(2);
  expect(read("ggml.padding_token_id")).toBe(0);
  expect(read("ggml.bos_token_id")).toBeUndefined();
  expect(read("ggml.add_bos_token")).toBe(false);
  expect(read("chat_template")).toContain("<|im_start|>");
});

test("renames every tensor and leaves its values, but for the heads that llama turns by neighbours", async () => {
  const folder = await folderOf(small());
  const { weights, names } = await opened(folder);
  const { tensors } = await exported(folder);
  expect(tensors.size).toBe(names.length);
  const same: [string, string][] = [
    ["token_embd.weight", "model.embed_tokens.weight"],
    ["output_norm.weight", "model.norm.weight"],
    ["output.weight", "lm_head.weight"],
    ["blk.1.attn_norm.weight", "model.layers.1.input_layernorm.weight"],
    ["blk.1.attn_v.weight", "model.layers.1.self_attn.v_proj.weight"],
    ["blk.1.attn_output.weight", "model.layers.1.self_attn.o_proj.weight"],
    ["blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"],
    ["blk.1.ffn_gate.weight", "model.layers.1.mlp.gate_proj.weight"],
    ["blk.1.ffn_up.weight", "model.layers.1.mlp.up_proj.weight"],
    ["blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"],
  ];
  for (const [theirs, ours] of same) {
    const { shape, data } = weights(ours);
    expect(tensors.get(theirs)).toEqual({ sizes: shape.toReversed(), values: [...data] });
  }
  // numpy: x.reshape(heads, 2, 8, -1).swapaxes(1, 2).reshape(x.shape), 16 rows a head
  for (const [theirs, ours] of [
    ["attn_q", "q_proj"],
    ["attn_k", "k_proj"],
  ]) {
    const { shape, data } = weights(`model.layers.0.self_attn.${ours}.weight`);
    const [rows, width] = [shape[0]!, shape[1]!];
    const firsts = tensors.get(`blk.0.${theirs}.weight`)!.values.filter((_, i) => i % width === 0);
    const order = Array.from({ length: rows }, (_, row) => {
      const inHead = row % 16;
      return row - inHead + (inHead % 2) * 8 + Math.floor(inHead / 2);
    });
    expect(firsts).toEqual(order.map((row) => data[row * width]));
  }
});

test("leaves the heads as they are for Qwen 2, whose biases it writes", async () => {
  const config = modelOf({
    ...small({ tie_word_embeddings: true }).files.config,
    architectures: ["Qwen2ForCausalLM"],
    model_type: "qwen2",
  });
  const folder = await folderOf(config);
  const { weights } = await opened(folder);
  const { tensors, settings } = await exported(folder);
  expect(settings.get("general.architecture")).toBe("qwen2");
  expect(settings.get("qwen2.block_count")).toBe(2);
  expect(tensors.has("output.weight")).toBe(false); // tied
  for (const kind of ["weight", "bias"]) {
    const { data } = weights(`model.layers.1.self_attn.k_proj.${kind}`);
    expect(tensors.get(`blk.1.attn_k.${kind}`)!.values).toEqual([...data]);
  }
});

test("writes matrices as float16 when asked, vectors never", async () => {
  const folder = await folderOf(small());
  const { weights } = await opened(folder);
  const { tensors, settings } = await exported(folder, "f16");
  expect(settings.get("general.file_type")).toBe(1);
  const { data } = weights("model.layers.0.mlp.up_proj.weight");
  expect(tensors.get("blk.0.ffn_up.weight")!.values).toEqual([...toFloat16(data)]);
  expect(tensors.get("output_norm.weight")!.values).toEqual([...weights("model.norm.weight").data]);
});

test("divides Llama 3's frequencies by the factors of its long context", async () => {
  const rope_scaling = {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 64,
  };
  const { tensors } = await exported(await folderOf(small({ rope_scaling })));
  const { values } = tensors.get("rope_freqs.weight")!;
  // llama.cpp's conversion/llama.py, by hand: wavelengths 2π·10000^(i/8); kept below 16, divided by 8 above 64
  const expected = Array.from({ length: 8 }, (_, i) => {
    const wavelength = 2 * Math.PI * 10_000 ** (i / 8);
    if (wavelength < 16) return 1;
    if (wavelength > 64) return 8;
    const smooth = (64 / wavelength - 1) / (4 - 1);
    return 1 / ((1 - smooth) / 8 + smooth);
  });
  expect(values.length).toBe(8);
  for (const [i, value] of values.entries()) expect(value).toBeCloseTo(expected[i]!, 5);
});

test("names what it cannot write, and writes nothing", async () => {
  const gemma = {
    ...small().files.config,
    architectures: ["GemmaForCausalLM"],
    model_type: "gemma",
    hidden_act: "gelu_pytorch_tanh",
  };
  const windowed = {
    ...small().files.config,
    architectures: ["MistralForCausalLM"],
    model_type: "mistral",
    sliding_window: 8,
  };
  const yarn = {
    rope_scaling: { rope_type: "yarn", factor: 2, original_max_position_embeddings: 8 },
  };
  const before = (await readdir(root)).filter((name) => /gguf/.test(name));
  for (const [config, said] of [
    [modelOf(gemma), "GemmaForCausalLM"],
    [small(asReward), "LlamaForSequenceClassification"],
    [modelOf(windowed), "sliding windows"],
    [small(yarn), "YaRN"],
  ] as const) {
    const folder = await folderOf(config);
    await expect(exported(folder)).rejects.toThrow(said);
  }
  expect((await readdir(root)).filter((name) => /gguf/.test(name))).toEqual(before);
});

test("leaves an existing file alone", async () => {
  const folder = await folderOf(small());
  const path = join(folder, "config.json");
  const before = await readFile(path, "utf8");
  await expect(exportGguf(folder, path, "f32")).rejects.toThrow(`${path} exists`);
  expect(await readFile(path, "utf8")).toBe(before);
});

async function opened(folder: string) {
  const checkpoint = await Checkpoint.open(folder);
  return { names: checkpoint.names, weights: (name: string) => checkpoint.weight(name) };
}

test("says why a file cannot be written", async () => {
  const exporting = exportGguf(await folderOf(small()), join(root, "nowhere/a.gguf"), "f32");
  await expect(exporting).rejects.toMatchObject({ code: "export_failed" });
});

/** Sizes innermost first; values of F16 tensors as bit patterns. */
function readGguf(file: Buffer) {
  let at = 0;
  const take = (bytes: number) => {
    at += bytes;
    return file.subarray(at - bytes, at);
  };
  const uint32 = () => take(4).readUInt32LE();
  const uint64 = () => Number(take(8).readBigUInt64LE());
  const string = () => take(uint64()).toString();
  const value = (type: number): unknown => {
    if (type === 4) return uint32();
    if (type === 5) return take(4).readInt32LE();
    if (type === 6) return take(4).readFloatLE();
    if (type === 7) return take(1)[0] === 1;
    if (type === 8) return string();
    expect(type).toBe(9);
    const [each, length] = [uint32(), uint64()];
    return Array.from({ length }, () => value(each));
  };
  expect(take(4).toString()).toBe("GGUF");
  expect(uint32()).toBe(3);
  const [tensorCount, settingCount] = [uint64(), uint64()];
  const settings = new Map<string, unknown>();
  for (let i = 0; i < settingCount; i++) settings.set(string(), value(uint32()));
  const entries = Array.from({ length: tensorCount }, () => {
    const name = string();
    const sizes = Array.from({ length: uint32() }, uint64);
    return { name, sizes, type: uint32(), offset: uint64() };
  });
  const start = Math.ceil(at / ALIGNMENT) * ALIGNMENT;
  const tensors = new Map(
    entries.map(({ name, sizes, type, offset }) => {
      expect(offset % ALIGNMENT).toBe(0);
      const n = sizes.reduce((a, b) => a * b, 1);
      const bytes = Uint8Array.from(
        file.subarray(start + offset, start + offset + n * (type ? 2 : 4)),
      );
      expect(bytes.length).toBe(n * (type ? 2 : 4));
      const values: number[] = [
        ...(type ? new Uint16Array(bytes.buffer) : new Float32Array(bytes.buffer)),
      ];
      return [name, { sizes, values }];
    }),
  );
  return { settings, tensors };
}

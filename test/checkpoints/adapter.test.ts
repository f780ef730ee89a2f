import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readAdapter } from "../../src/checkpoints/adapter.ts";
import { readSafetensors, writeSafetensors } from "../../src/checkpoints/safetensors.ts";
import { modelOf, type Published } from "../support/configs.ts";

const fixture = join(import.meta.dirname, "../fixtures/peft");
let folder = "";
let published: Published = {};
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "adapter-"));
  const logits: unknown = JSON.parse(await readFile(join(fixture, "logits.json"), "utf8"));
  published = (logits as { config: Published }).config; // our own file
});
beforeEach(() => cp(fixture, folder, { recursive: true }));
afterAll(() => rm(folder, { recursive: true }));

test("reads what PEFT saved: ranks, scales and exceptions from the rule", async () => {
  const { matrices } = await readAdapter(folder, modelOf(published));
  expect(matrices.size).toBe(6);
  const at = (module: string) => {
    const { rank, inputs, outputs, scale } = matrices.get(`model.layers.1.${module}`)!;
    return { rank, inputs, outputs, scale };
  };
  expect(at("self_attn.q_proj")).toEqual({
    rank: 3,
    inputs: 64,
    outputs: 64,
    scale: 7 / Math.sqrt(3),
  });
  expect(at("self_attn.v_proj")).toEqual({
    rank: 2,
    inputs: 64,
    outputs: 32,
    scale: 7 / Math.sqrt(2),
  });
  expect(at("mlp.down_proj")).toEqual({
    rank: 3,
    inputs: 48,
    outputs: 64,
    scale: 2 / Math.sqrt(3),
  });
});

describe("refuses", () => {
  const refusal = (base = modelOf(published)) =>
    readAdapter(folder, base).then(
      () => "nothing",
      (error: unknown) => String(error),
    );

  test.each([
    ["peft_type", "IA3"],
    ["use_dora", true],
    ["bias", "all"],
    ["modules_to_save", ["lm_head"]],
    ["trainable_token_indices", [1]],
  ])("a setting not implemented: %s", async (key, value) => {
    const path = join(folder, "adapter_config.json");
    const config: object = JSON.parse(await readFile(path, "utf8"));
    await writeFile(path, JSON.stringify({ ...config, [key]: value }));
    expect(await refusal()).toContain(`'${key}' is ${JSON.stringify(value)}, which is not`);
  });

  test("an adapter of another base, with the sizes of both", async () => {
    expect(await refusal(modelOf({ ...published, hidden_size: 32, head_dim: 16 }))).toMatch(
      /has A \[3,\d+\] and B \[64,3\] for a matrix of \[\d+,\d+\]/,
    );
    expect(await refusal(modelOf({ ...published, num_hidden_layers: 1 }))).toContain(
      "'model.layers.1.mlp.down_proj', which the model does not have",
    );
  });

  test("tensors that are no part of LoRA, and half a matrix", async () => {
    const path = join(folder, "adapter_model.safetensors");
    const tensors = await readSafetensors(path);
    const [name, tensor] = [...tensors].find(([each]) => each.includes("lora_A"))!;
    await writeSafetensors(path, new Map([...tensors, ["base_model.model.score.weight", tensor]]));
    expect(await refusal()).toContain("'base_model.model.score.weight' is not a part of LoRA");
    await writeSafetensors(path, new Map([...tensors].filter(([each]) => each !== name)));
    expect(await refusal()).toContain("lacks one of A and B");
  });
});

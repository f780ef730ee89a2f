/**
 * A LoRA adapter as PEFT writes it: what `readAdapter`, `PeftModel.from_pretrained` and vLLM's `--lora-modules` load.
 * Source of names and keys: github.com/huggingface/peft, src/peft/tuners/lora/config.py and docs/source/developer_guides/checkpoint.md.
 */
import { join } from "node:path";
import { writeFileAtomically } from "../base/atomic-file.ts";
import { type LoraMatrix, type LoraSettings, WRAPPED } from "./adapter.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { Task } from "./config.ts";
import { writeNewFolder } from "./new-folder.ts";
import { fromFloat32, type StoredTensor, writeSafetensors } from "./safetensors.ts";
import { weightShapes } from "./weight-shapes.ts";

export interface TrainedAdapter {
  /** What it was trained on; its folder is named in the adapter. */
  readonly base: Pick<Checkpoint, "folder" | "config">;
  readonly settings: LoraSettings;
  readonly matrices: ReadonlyMap<string, LoraMatrix>;
  /** Of a model of scores: the weights of its head, by name. */
  readonly head?: ReadonlyMap<string, Float32Array>;
  /** The text of README.md: the model card. */
  readonly card?: string | undefined;
}

/**
 * Writes the folder whole or not at all; numbers are float32, as they were trained.
 * @param out must not exist, or be empty.
 * @throws GatewayError invalid_request for a folder that holds something; export_failed when it cannot be written.
 */
export async function writeAdapter(out: string, adapter: TrainedAdapter): Promise<void> {
  await writeNewFolder(out, (folder) => fillAdapterFolder(folder, adapter));
}

/** The same into a folder that exists. @throws as the file system does. */
export async function fillAdapterFolder(folder: string, adapter: TrainedAdapter): Promise<void> {
  const file = join(folder, "adapter_model.safetensors");
  await writeSafetensors(file, tensorsOf(adapter), { format: "pt" });
  const config = `${JSON.stringify(configOf(adapter), null, 2)}\n`;
  await writeFileAtomically(join(folder, "adapter_config.json"), [config]);
  if (adapter.card) await writeFileAtomically(join(folder, "README.md"), [adapter.card]);
}

function tensorsOf({ base, matrices, head }: TrainedAdapter): Map<string, StoredTensor> {
  const stored = (shape: readonly number[], values: Float32Array): StoredTensor => ({
    dtype: "F32",
    shape,
    data: fromFloat32(values, "F32"),
  });
  const shapes = weightShapes(base.config);
  return new Map([
    ...[...matrices].flatMap(([module, { rank, inputs, outputs, a, b }]) => [
      [`${WRAPPED}${module}.lora_A.weight`, stored([rank, inputs], a)] as const,
      [`${WRAPPED}${module}.lora_B.weight`, stored([outputs, rank], b)] as const,
    ]),
    ...[...(head ?? [])].map(
      ([name, values]) => [`${WRAPPED}${name}`, stored(shapes.get(name)!, values)] as const,
    ),
  ]);
}

const taskTypes: Readonly<Record<Task, string>> = {
  generation: "CAUSAL_LM",
  "sequence-scores": "SEQ_CLS",
  "token-scores": "TOKEN_CLS",
};

/** Keys in order, as PEFT's; those of newer versions that it fills in itself are left out. */
function configOf({ base, settings, head }: TrainedAdapter): Readonly<Record<string, unknown>> {
  return {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: base.folder,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: settings.alpha,
    lora_dropout: 0,
    modules_to_save: head ? ["score"] : null,
    peft_type: "LORA",
    r: settings.rank,
    rank_pattern: {},
    revision: null,
    target_modules: [...settings.modules],
    task_type: taskTypes[base.config.task],
    use_dora: false,
    use_rslora: settings.isRankStabilized,
  };
}

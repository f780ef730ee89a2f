/**
 * The policy in training, served: an engine over the weights in the trainer's own memory. Of all weights nothing is
 * copied or made anew after an update; of LoRA the small matrices are. Nobody may draw while an update runs.
 */
import type { ModelConfig } from "../../../checkpoints/config.ts";
import { weightShapes } from "../../../checkpoints/weight-shapes.ts";
import type { NamedAdapter } from "../../../engine/adapter-bank.ts";
import { Engine } from "../../../engine/engine.ts";
import { ServingModel } from "../../../engine/serving-model.ts";
import type { Turnstile } from "../../../engine/turnstile.ts";
import type { Runtime, Tensor } from "../../../onnx/runtime/index.ts";
import { generatorWith } from "../../../registry/adapters.ts";
import type { LoadedPolicy } from "../../../registry/load.ts";
import { createPolicy, type PolicyParts } from "../../../registry/policy.ts";
import type { Policy } from "../../../registry/types.ts";
import { type LoraSettings, trainedLora } from "../../../train/lora.ts";
import type { Trainer } from "../../../train/trainer.ts";
import type { Base } from "../base.ts";

export interface LivePolicyOptions {
  readonly id: string;
  readonly lora: LoraSettings | null;
  readonly contextTokens: number;
  readonly sequencesMax: number;
  readonly cacheBytesMax: number;
  readonly threads: number | null;
  readonly turnstile: Turnstile;
}

export interface LivePolicy extends LoadedPolicy {
  /** The base without its adapter, on the same engine; null: all weights are trained, and the base is elsewhere. */
  readonly base: Policy | null;
  /** After the weights have changed. */
  refresh(): void;
}

const ADAPTER = "training";

/** Its own law alone: what the checkpoint says of sampling does not count. */
export async function openLivePolicy(
  runtime: Runtime,
  trainer: Pick<Trainer, "tensors" | "values">,
  { config, format }: Pick<Base, "config" | "format">,
  options: LivePolicyOptions,
): Promise<LivePolicy> {
  const { id, lora } = options;
  const { model, engine } = await openEngine(runtime, config, trainer.tensors(), options);
  const { tokenizer, template, endIds } = format;
  const parts: PolicyParts = { id, created: 0, generator: engine, tokenizer, template, endIds };
  const own = createPolicy(parts);
  const shared = { engine, parts, config };
  if (lora === null) return { ...shared, policy: own, base: null, refresh: () => {} };
  const adapter = (): NamedAdapter => ({
    id: ADAPTER,
    revision: "live",
    matrices: trainedLora(config, lora, trainer.values()),
  });
  const first = adapter();
  await engine.loadAdapter(first);
  const policy = createPolicy({ ...parts, generator: generatorWith(engine, first) });
  return { ...shared, policy, base: own, refresh: () => model.bank?.refresh(adapter()) };
}

/** A policy that stays as it is, for what needs its law beside the one in training. */
export async function openFixedPolicy(
  runtime: Runtime,
  tensors: ReadonlyMap<string, Tensor>,
  { config, format }: Pick<Base, "config" | "format">,
  options: Omit<LivePolicyOptions, "lora">,
): Promise<LoadedPolicy> {
  const { engine } = await openEngine(runtime, config, tensors, options);
  const { tokenizer, template, endIds } = format;
  const { id } = options;
  const parts: PolicyParts = { id, created: 0, generator: engine, tokenizer, template, endIds };
  return { policy: createPolicy(parts), engine, parts, config };
}

async function openEngine(
  runtime: Runtime,
  config: ModelConfig,
  tensors: ReadonlyMap<string, Tensor>,
  {
    contextTokens,
    sequencesMax,
    cacheBytesMax,
    threads,
    turnstile,
  }: Omit<LivePolicyOptions, "lora">,
) {
  const served = [...weightShapes(config).keys()].map(
    (name) => [name, tensors.get(name)!] as const,
  );
  const source = {
    config: { ...config, contextTokens },
    revision: "training",
    tensors: new Map(served),
  };
  const model = await ServingModel.live(runtime, source, {
    turnstile,
    ...(threads !== null && { threads }),
  });
  // Prompts are read anew in each rollout: keys and values of other weights are of no use.
  const engine = new Engine(model, {
    sequencesMax,
    cacheBytesMax,
    queueSequencesMax: Number.MAX_SAFE_INTEGER,
    prefixBytesMax: 0,
  });
  return { model, engine };
}

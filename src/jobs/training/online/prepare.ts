/** Before anything is drawn: prompts in tokens, how many updates they make, and the trainer at its beginning. */
import { GatewayError } from "../../../base/errors.ts";
import { createRandom } from "../../../base/random.ts";
import type { Runtime } from "../../../onnx/runtime/index.ts";
import { initialLora } from "../../../train/lora.ts";
import { Trainer, type TrainingState } from "../../../train/trainer.ts";
import { loadPrompts, splitHeldOut } from "../../batch/prompts.ts";
import type { Base } from "../base.ts";
import { optimizerOf } from "../optimizer.ts";
import type { Demands } from "./demands.ts";
import type { OnlineOptions } from "./options.ts";
import { answerable, type ReadPrompt, readPrompts } from "./prompts.ts";

export interface Prompts {
  readonly train: readonly ReadPrompt[];
  readonly heldOut: readonly ReadPrompt[];
  readonly contextTokens: number;
  readonly dropped: number;
}

export interface Plan {
  readonly steps: number;
  readonly updatesPerRollout: number;
  readonly minibatch: number;
}

export async function promptsFor(options: OnlineOptions, base: Base): Promise<Prompts> {
  const { prompts: asked, heldOut: share, evaluate: count } = options;
  const loaded = answerable(await loadPrompts(asked), options.reward, asked.badRows);
  const contextTokens = Math.min(options.contextTokens ?? Infinity, base.config.contextTokens);
  const split = splitHeldOut(loaded, { ...asked, share, count });
  const how = { format: base.format, contextTokens };
  const train = readPrompts({ ...loaded, prompts: split.prompts }, how, asked.badRows);
  const heldOut =
    split.heldOut.length === 0
      ? { prompts: [], dropped: 0 }
      : readPrompts({ prompts: split.heldOut, repeated: 0, dropped: 0 }, how, asked.badRows);
  const dropped = train.dropped + heldOut.dropped;
  if (train.prompts.length === 0) {
    const problem = "all of its prompts are held out";
    const remedy = "Lower --held-out, or give it more.";
    throw new GatewayError("dataset_unusable", { file: asked.source, problem, remedy });
  }
  return { train: train.prompts, heldOut: heldOut.prompts, contextTokens, dropped };
}

export function planOf(options: OnlineOptions, { train }: Prompts): Plan {
  const rollout = Math.min(options.batch, train.length);
  const minibatch = Math.min(options.minibatch ?? rollout, rollout);
  const updatesPerRollout = options.updatesPerRollout ?? Math.ceil(rollout / minibatch);
  const rollouts = Math.ceil((options.epochs * train.length) / options.batch);
  return {
    minibatch,
    updatesPerRollout,
    steps: options.steps ?? Math.max(1, rollouts) * updatesPerRollout,
  };
}

/** A value head begins with zeros: it expects nothing. */
export function initialState(
  { lora, seed }: OnlineOptions,
  base: Base,
  { hasValues }: Demands,
): TrainingState {
  const adapter = lora ? initialLora(base.config, lora, createRandom(seed)) : [];
  const head: [string, Float32Array][] = hasValues
    ? [["score.weight", new Float32Array(base.config.hiddenSize)]]
    : [];
  return new Map([...base.weights(), ...adapter, ...head]);
}

export function createTrainer(
  runtime: Runtime,
  {
    options,
    base,
    weights,
    steps,
  }: { options: OnlineOptions; base: Base; weights: TrainingState; steps: number },
): Promise<Trainer> {
  const { method, lossOptions, lora, temperature, threads } = options;
  const trained = {
    config: base.config,
    loss: method.loss,
    lossOptions,
    optimizer: optimizerOf(options, steps),
    lora: lora ?? undefined,
    temperature,
    ...(threads !== null && { threads }),
  };
  return Trainer.create(runtime, trained, weights);
}

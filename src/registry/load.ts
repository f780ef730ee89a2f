/** Checkpoint folders → served models: weights, tokenizer and template into an engine of their own. */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { GatewayError } from "../base/errors.ts";
import { Checkpoint } from "../checkpoints/checkpoint.ts";
import { type ModelConfig, type Task, tasks } from "../checkpoints/config.ts";
import { DraftModel } from "../engine/draft-model.ts";
import { type Drafter, promptLookup } from "../engine/drafts.ts";
import { Engine, type EngineOptions } from "../engine/engine.ts";
import { RewardEngine } from "../engine/reward-engine.ts";
import { type ModelSource, ServingModel, type ServingOptions } from "../engine/serving-model.ts";
import type { Runtime } from "../onnx/runtime/index.ts";
import { HEAD_MULTIPLE, isServableHead } from "../onnx/serving-graph.ts";
import type { Reward } from "../rewards/define.ts";
import { rewardKinds } from "../rewards/index.ts";
import { ChatTemplate } from "../text/chat-template.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { createPolicy, type PolicyParts } from "./policy.ts";
import type { Policy } from "./types.ts";

export interface LoadOptions extends ServingOptions {
  readonly runtime: Runtime;
  /** Folder of the checkpoint; its last part is the public id. */
  readonly folder: string;
  /** Memory for the keys and values of earlier prompts. */
  readonly prefixBytesMax?: number;
  /** Shortens the context that the model could hold. */
  readonly contextTokens?: number | undefined;
}

export interface PolicyOptions extends LoadOptions, Omit<EngineOptions, "drafter"> {
  /** Folder of a smaller checkpoint that guesses, or `prompt-lookup`. */
  readonly draft?: string;
}

/** @throws GatewayError checkpoint_invalid, architecture_unsupported, provider_unavailable */
export async function loadPolicy(options: PolicyOptions): Promise<LoadedPolicy> {
  const { tokenizer, template, model, created, config } = await load(options, "generation");
  const drafter = await loadDrafter(options, tokenizer, config.vocabSize);
  const engine = new Engine(model, { ...options, ...(drafter && { drafter }) });
  const parts: PolicyParts = {
    id: basename(options.folder),
    created,
    generator: engine,
    tokenizer,
    template,
    endIds: config.eosIds,
    defaults: config.sampling,
  };
  return { policy: createPolicy(parts), engine, parts, config };
}

const PROMPT_LOOKUP = "prompt-lookup";

/** @throws GatewayError checkpoint_invalid when its tokens are not the policy's */
async function loadDrafter(
  options: PolicyOptions,
  policy: Tokenizer,
  vocabSize: number,
): Promise<Drafter | null> {
  const { draft = "", sequencesMax } = options;
  if (draft === "") return null;
  if (draft === PROMPT_LOOKUP) return promptLookup;
  const { tokenizer, model } = await load({ ...options, folder: draft }, "generation");
  const drafter = new DraftModel(model, { rowsMax: sequencesMax, vocabSize });
  if (tokenizer.hasTokensOf(policy)) return drafter;
  await drafter.dispose();
  throw new GatewayError("checkpoint_invalid", {
    path: draft,
    problem: "its tokens are not those of the policy for which it should guess",
    remedy: `Name a model with the same tokenizer.json, or '${PROMPT_LOOKUP}', as the setting draft.`,
  });
}

export interface LoadedPolicy {
  readonly policy: Policy;
  readonly engine: Engine;
  /** What the policy was made of, and its configuration: for its adapters. */
  readonly parts: PolicyParts;
  readonly config: ModelConfig;
}

/** @throws GatewayError checkpoint_invalid, architecture_unsupported, provider_unavailable */
export async function loadReward(
  options: LoadOptions,
): Promise<{ reward: Reward; engine: RewardEngine }> {
  const { folder } = options;
  const { tokenizer, template, model } = await load(options, "sequence-scores");
  if (!template) {
    throw new GatewayError("checkpoint_invalid", {
      path: folder,
      problem: "tokenizer_config.json has no chat_template, which a reward model needs",
      remedy: "Add the template the model was trained with.",
    });
  }
  const engine = new RewardEngine(model, options);
  const reward = rewardKinds["reward-model"]({
    id: basename(folder),
    scorer: engine,
    tokenizer,
    template,
  });
  return { reward, engine };
}

async function load(options: LoadOptions, task: Task) {
  const { folder, runtime } = options;
  const checkpoint = await Checkpoint.open(folder);
  const { headDim, labels } = checkpoint.config;
  if (checkpoint.config.task !== task) {
    throw new GatewayError("architecture_unsupported", {
      path: folder,
      architecture: `…${tasks[checkpoint.config.task]}`,
      known: [`…${tasks[task]}`],
    });
  }
  if (labels !== 1) {
    throw new GatewayError("checkpoint_invalid", {
      path: folder,
      problem: `it gives ${labels} labels a score; a reward is one`,
      remedy: "Serve a model with num_labels 1.",
    });
  }
  if (!isServableHead(headDim)) {
    throw new GatewayError("checkpoint_invalid", {
      path: folder,
      problem: `its head size is ${headDim}; the runtime serves multiples of ${HEAD_MULTIPLE} only`,
      remedy: "Serve a model with another head_dim.",
    });
  }
  const tokenizer = await Tokenizer.load(folder);
  const template = await ChatTemplate.load(folder);
  const source = await sourceOf(checkpoint, options.contextTokens);
  const model = await ServingModel.load(
    runtime,
    source,
    task === "generation" ? "logits" : "scores",
    options,
  );
  const { mtimeMs } = await stat(join(folder, "config.json"));
  return {
    tokenizer,
    template,
    model,
    created: Math.floor(mtimeMs / 1000),
    config: checkpoint.config,
  };
}

/** A checkpoint folder as the engine takes it. */
export async function readModelSource(folder: string): Promise<ModelSource> {
  return sourceOf(await Checkpoint.open(folder));
}

async function sourceOf(checkpoint: Checkpoint, contextTokensMax = Infinity): Promise<ModelSource> {
  const contextTokens = Math.min(contextTokensMax, checkpoint.config.contextTokens);
  return {
    config: { ...checkpoint.config, contextTokens },
    revision: await revisionOf(checkpoint.folder),
    weight: (name) => checkpoint.weight(name),
  };
}

/** The first 12 hexadecimal digits of the SHA-256 of configuration, tokenizer and weights. */
async function revisionOf(folder: string): Promise<string> {
  const hash = createHash("sha256");
  const names = (await readdir(folder)).filter((name) => /\.(json|safetensors)$/.test(name));
  for (const name of names.sort()) hash.update(await readFile(join(folder, name)));
  return hash.digest("hex").slice(0, 12);
}

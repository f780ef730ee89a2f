/** Checkpoint folders → served policies: weights, tokenizer and template into an engine of their own. */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { GatewayError } from "../base/errors.ts";
import { Checkpoint } from "../checkpoints/checkpoint.ts";
import { type ModelConfig, tasks } from "../checkpoints/config.ts";
import { DraftModel } from "../engine/draft-model.ts";
import { type Drafter, promptLookup } from "../engine/drafts.ts";
import { Engine, type EngineOptions } from "../engine/engine.ts";
import { type ModelSource, ServingModel, type ServingOptions } from "../engine/serving-model.ts";
import type { Runtime } from "../onnx/runtime/index.ts";
import { HEAD_MULTIPLE, isServableHead } from "../onnx/serving-graph.ts";
import type { Head } from "../onnx/transformer.ts";
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
  const { tokenizer, template, model, created, config } = await loadGenerator(options);
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
  const { tokenizer, model } = await loadGenerator({ ...options, folder: draft });
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

async function loadGenerator(options: LoadOptions) {
  const checkpoint = await Checkpoint.open(options.folder);
  if (checkpoint.config.task !== "generation") throw noPolicy(options.folder, checkpoint.config);
  return openModel(options, checkpoint, "logits");
}

/**
 * A checkpoint with its tokenizer and template, its model ready to run.
 * @param head what is asked of it. @param adapt what of its weights and configuration is served otherwise.
 */
export async function openModel(
  options: LoadOptions,
  checkpoint: Checkpoint,
  head: Head,
  adapt = (source: ModelSource) => source,
) {
  const { folder, runtime } = options;
  const { headDim } = checkpoint.config;
  if (!isServableHead(headDim)) {
    throw new GatewayError("checkpoint_invalid", {
      path: folder,
      problem: `its head size is ${headDim}; the runtime serves multiples of ${HEAD_MULTIPLE} only`,
      remedy: "Serve a model with another head_dim.",
    });
  }
  const tokenizer = await Tokenizer.load(folder);
  const template = await ChatTemplate.load(folder);
  const source = adapt(await sourceOf(checkpoint, options.contextTokens));
  const model = await ServingModel.load(runtime, source, head, options);
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

function noPolicy(path: string, { task }: ModelConfig): GatewayError {
  return new GatewayError("architecture_unsupported", {
    path,
    architecture: `…${tasks[task]}`,
    known: [`…${tasks.generation}`],
  });
}

/** The first 12 hexadecimal digits of the SHA-256 of configuration, tokenizer and weights. */
async function revisionOf(folder: string): Promise<string> {
  const hash = createHash("sha256");
  const names = (await readdir(folder)).filter((name) => /\.(json|safetensors)$/.test(name));
  for (const name of names.sort()) hash.update(await readFile(join(folder, name)));
  return hash.digest("hex").slice(0, 12);
}

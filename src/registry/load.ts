/** Checkpoint folders → served policies: weights, tokenizer and template into an engine of their own. */
import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { GatewayError } from "../base/errors.ts";
import { Checkpoint } from "../checkpoints/checkpoint.ts";
import { type ModelConfig, tasks } from "../checkpoints/config.ts";
import { bytesOfFile, type OnnxFolder, openOnnxFolder } from "../checkpoints/onnx-folder.ts";
import { DraftModel } from "../engine/draft-model.ts";
import { type Drafter, promptLookup } from "../engine/drafts.ts";
import { Engine, type EngineOptions } from "../engine/engine.ts";
import { ImportedModel } from "../engine/imported/imported-model.ts";
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
  /** Folder of the checkpoint; its last part is the public id, unless `id` is. */
  readonly folder: string;
  readonly id?: string;
  /** Memory for the keys and values of earlier prompts. */
  readonly prefixBytesMax?: number;
  /** Shortens the context that the model could hold. */
  readonly contextTokens?: number | undefined;
}

export interface PolicyOptions extends LoadOptions, Omit<EngineOptions, "drafter"> {
  /** Of the folder's `onnx/`, without its ending; empty: one is served only where there are no safetensors. */
  readonly onnxFile?: string;
  /** Folder of a smaller checkpoint that guesses, or `prompt-lookup`. */
  readonly draft?: string;
}

/** @throws GatewayError checkpoint_invalid, architecture_unsupported, config_invalid, provider_unavailable */
export async function loadPolicy(options: PolicyOptions): Promise<LoadedPolicy> {
  const exported = await findExport(options);
  const { tokenizer, template, model, created, ...loaded } = exported
    ? await loadExport(options, exported)
    : await loadGenerator(options);
  const drafter = await loadDrafter(options, tokenizer, loaded.config.vocabSize);
  const engine = new Engine(model, { ...options, ...(drafter && { drafter }) });
  const parts: PolicyParts = {
    id: options.id ?? basename(options.folder),
    created,
    generator: engine,
    tokenizer,
    template,
    endIds: loaded.config.eosIds,
    defaults: loaded.config.sampling,
  };
  const config = "files" in loaded.config ? loaded.config : null;
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
  /** What the policy was made of, and its configuration: for its adapters. null: an ONNX file, which takes none. */
  readonly parts: PolicyParts;
  readonly config: ModelConfig | null;
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
  return {
    tokenizer,
    template,
    model,
    created: await createdAt(folder),
    config: checkpoint.config,
  };
}

/** The ONNX file to serve instead of safetensors; null: there is none, or none is wanted. */
async function findExport({ folder, onnxFile = "" }: PolicyOptions): Promise<OnnxFolder | null> {
  const names = await readdir(folder).catch(() => []); // what reads the checkpoint says what is wrong
  if (onnxFile === "" && names.some((name) => name.endsWith(".safetensors"))) return null;
  const exported = await openOnnxFolder(folder, onnxFile);
  if (exported !== null || onnxFile === "") return exported;
  const problem = `it has no folder onnx, and policyOnnxFile asks for ${onnxFile}.onnx in it`;
  const remedy = "Unset policyOnnxFile to serve safetensors.";
  throw new GatewayError("checkpoint_invalid", { path: folder, problem, remedy });
}

/** What only our own graphs can do. */
function refuseForExports({ format = "float32", draft = "" }: PolicyOptions): void {
  const refused = [
    { source: "policyFormat", value: format, none: "float32", file: "in the numbers it holds" },
    { source: "draft", value: draft, none: "", file: "a token a step" },
  ].find(({ value, none }) => value !== none);
  if (!refused) return;
  const { source, value, file } = refused;
  const problem = `${value} is asked for, and an ONNX file is served ${file}; unset it, or serve safetensors`;
  throw new GatewayError("config_invalid", { source, problem });
}

async function loadExport(options: PolicyOptions, { folder, path, parts, config }: OnnxFolder) {
  const { runtime, contextTokens = Infinity } = options;
  refuseForExports(options);
  const tokenizer = await Tokenizer.load(folder);
  if (tokenizer.vocabSize > config.vocabSize) {
    const problem = `the tokenizer has ${tokenizer.vocabSize} tokens, and config.json has vocab_size ${config.vocabSize}`;
    const remedy = "Copy all files from the same revision of the model.";
    throw new GatewayError("checkpoint_invalid", { path: folder, problem, remedy });
  }
  const source = {
    path,
    revision: await revisionOf(folder, parts),
    vocabSize: config.vocabSize,
    layers: config.layers,
    contextTokens: Math.min(contextTokens, config.contextTokens),
  };
  return {
    tokenizer,
    template: await ChatTemplate.load(folder),
    model: await ImportedModel.load(runtime, source, options),
    created: await createdAt(folder),
    config,
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

/** Seconds since 1970. */
async function createdAt(folder: string): Promise<number> {
  const { mtimeMs } = await stat(join(folder, "config.json"));
  return Math.floor(mtimeMs / 1000);
}

/**
 * The first 12 hexadecimal digits of the SHA-256 of configuration, tokenizer and weights.
 * @param graph files to be taken instead of safetensors.
 */
async function revisionOf(folder: string, graph: readonly string[] | null = null): Promise<string> {
  const hash = createHash("sha256");
  const kind = graph ? /\.json$/ : /\.(json|safetensors)$/;
  const names = (await readdir(folder)).filter((name) => kind.test(name)).sort();
  for (const path of [...names.map((name) => join(folder, name)), ...(graph ?? [])]) {
    for await (const bytes of bytesOfFile(path)) hash.update(bytes);
  }
  return hash.digest("hex").slice(0, 12);
}

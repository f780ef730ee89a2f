/**
 * A checkpoint's `config.json` and `generation_config.json`, read into what the rest of the project needs.
 * What the transformer looks like is `families.ts`'s to say.
 */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type } from "typebox";
import { writeFileAtomically } from "../base/atomic-file.ts";
import { GatewayError } from "../base/errors.ts";
import {
  checkCheckpointJson,
  readCheckpointJson,
  readOptionalCheckpointJson,
} from "../base/json-file.ts";
import type { ScoreHead, TransformerConfig } from "../onnx/transformer.ts";
import {
  type Family,
  families,
  nullable,
  Settings,
  transformerOf,
  Unimplemented,
} from "./families.ts";

/** What a class is for, by the ending of its name; the last two score each label at a sequence's end or at every token. */
export const tasks = {
  generation: "ForCausalLM",
  "sequence-scores": "ForSequenceClassification",
  "token-scores": "ForTokenClassification",
} as const;
export type Task = keyof typeof tasks;

export interface ModelConfig extends TransformerConfig {
  readonly task: Task;
  readonly bosId: number | null;
  readonly eosIds: readonly number[];
  readonly padId: number | null;
  /** How the model samples when the request does not say; what the checkpoint does not say is absent. */
  readonly sampling: Sampling;
  readonly files: ConfigFiles;
}

export interface Sampling {
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
}

/** The two files as Hugging Face's transformers write them; a checkpoint is written with those it was read with. */
export interface ConfigFiles {
  readonly config: Readonly<Record<string, unknown>>;
  readonly generation: Readonly<Record<string, unknown>> | null;
}

/**
 * @throws GatewayError checkpoint_invalid for a missing or corrupt file or a setting not implemented;
 * architecture_unsupported for another model.
 */
export async function readModelConfig(folder: string): Promise<ModelConfig> {
  const path = join(folder, "config.json");
  const config = await readCheckpointJson(path, AnyObject);
  const generation = await readOptionalCheckpointJson(
    join(folder, "generation_config.json"),
    Generation,
  );
  return parseModelConfig(path, { config, generation });
}

/** @param path says in errors where the configuration comes from. */
export function parseModelConfig(path: string, files: ConfigFiles): ModelConfig {
  const declared = checkCheckpointJson(path, Declared, files.config);
  const { family, task, scoreHead } = familyOf(path, declared);
  const s = checkCheckpointJson(path, Settings, files.config);
  const g: Generation = files.generation ?? {};
  const config: ModelConfig = {
    ...transformer(path, family, s),
    task,
    ...(task !== "generation" && { labels: labelsOf(declared) }),
    scoreHead,
    bosId: knownId(declared.bos_token_id),
    eosIds: [g.eos_token_id ?? declared.eos_token_id ?? []].flat(),
    padId: knownId(declared.pad_token_id),
    sampling: sampling(g),
    files,
  };
  const problem = contradiction(config);
  if (problem === null) return config;
  throw new GatewayError("checkpoint_invalid", { path, problem, remedy: "Correct it." });
}

/**
 * The same transformer with one score in place of the next token's logits, as a reward model is published, at the end of a
 * sequence or at every token.
 * @returns null for a family without such a class.
 */
export function withScalarHead(
  config: ModelConfig,
  scored: Exclude<Task, "generation"> = "sequence-scores",
): ModelConfig | null {
  const { config: declared, generation } = config.files;
  const found = [...architectures].find(
    ([, { type, task }]) => type === declared["model_type"] && task === scored,
  );
  if (!found) return null;
  const changes = {
    architectures: [found[0]],
    id2label: { 0: "LABEL_0" },
    label2id: { LABEL_0: 0 },
    pad_token_id: config.padId ?? config.eosIds[0] ?? null, // transformers finds an answer's end by it
  };
  return parseModelConfig("the base's config.json", {
    config: { ...declared, ...changes },
    generation,
  });
}

/** Set where the score is of two answers, read one after the other. Hugging Face's loaders keep keys that they do not know. */
const PAIRS = "compares_pairs";

export const comparesPairs = ({ files }: ModelConfig): boolean => files.config[PAIRS] === true;

/** The same model, said to score two answers at once or one. */
export function withPairs(config: ModelConfig, compares: boolean): ModelConfig {
  const { [PAIRS]: _, ...others } = config.files.config;
  const files = { ...config.files, config: compares ? { ...others, [PAIRS]: true } : others };
  return { ...config, files };
}

/** The key under which the file says how weights are stored: transformers 5 calls it `dtype`. */
export const dtypeKey = (config: ConfigFiles["config"]) =>
  "dtype" in config ? "dtype" : "torch_dtype";

/** Writes the two files that `readModelConfig` reads; Python's transformers reads them too. */
export async function writeModelConfig(
  folder: string,
  { config, generation }: ConfigFiles,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const files = { "config.json": config, "generation_config.json": generation };
  for (const [name, content] of Object.entries(files)) {
    if (content === null) continue;
    await writeFileAtomically(join(folder, name), [`${JSON.stringify(content, null, 2)}\n`]);
  }
}

const ids = nullable(Type.Union([Type.Integer(), Type.Array(Type.Integer())]));

const AnyObject = Type.Record(Type.String(), Type.Unknown());

/** What of `config.json` is not the transformer's. */
const Declared = Type.Object({
  architectures: Type.Array(Type.String(), { minItems: 1 }),
  model_type: Type.String(),
  bos_token_id: nullable(Type.Integer()),
  eos_token_id: ids,
  pad_token_id: nullable(Type.Integer()),
  num_labels: Type.Optional(Type.Integer({ minimum: 1 })),
  id2label: nullable(Type.Record(Type.String(), Type.Unknown())),
});
type Declared = Static<typeof Declared>;

export const Generation = Type.Object({
  eos_token_id: ids,
  temperature: nullable(Type.Number({ minimum: 0 })),
  top_p: nullable(Type.Number({ exclusiveMinimum: 0 })),
  top_k: nullable(Type.Integer({ minimum: 0 })),
  min_p: nullable(Type.Number({ minimum: 0 })),
  do_sample: nullable(Type.Boolean()),
});
export type Generation = Static<typeof Generation>;

/** Every class that is served, as `architectures` names them. */
const architectures: ReadonlyMap<string, Served> = new Map(
  Object.entries(families).flatMap(([type, family]) => {
    const { prefix, scorerPrefix = prefix, twoLayerScorer: own } = family;
    const classes: [string, Omit<Served, "family" | "type">][] = [
      [prefix + tasks.generation, { task: "generation", scoreHead: "linear" }],
      [scorerPrefix + tasks["sequence-scores"], { task: "sequence-scores", scoreHead: "linear" }],
      [scorerPrefix + tasks["token-scores"], { task: "token-scores", scoreHead: "biased" }],
    ];
    if (own) classes.push([own, { task: "token-scores", scoreHead: "two-layer" }]);
    return classes.map(([name, served]): [string, Served] => [name, { family, type, ...served }]);
  }),
);

/** Whether a class, as `architectures` names it, is served from its weights. */
export const isServedClass = (name: string) => architectures.has(name);

interface Served {
  readonly family: Family;
  /** Its `model_type`. */
  readonly type: string;
  readonly task: Task;
  readonly scoreHead: ScoreHead;
}

function familyOf(path: string, { architectures: names, model_type: type }: Declared) {
  const found = architectures.get(names[0]!);
  if (found?.type === type) return found;
  const architecture = `${names.join(", ")} (model_type ${type})`;
  const known = [...architectures.keys()];
  throw new GatewayError("architecture_unsupported", { path, architecture, known });
}

function transformer(path: string, family: Family, settings: Settings): TransformerConfig {
  try {
    return transformerOf(family, settings);
  } catch (error) {
    if (!(error instanceof Unimplemented)) throw error;
    const { message: problem, remedy } = error;
    throw new GatewayError("checkpoint_invalid", { path, problem, remedy });
  }
}

/** Two, where nothing is said: transformers' default. */
function labelsOf({ num_labels: labels, id2label }: Declared): number {
  return labels ?? (id2label ? Object.keys(id2label).length : 2);
}

/** Older checkpoints write −1 for "none". */
export const knownId = (id: number | null | undefined) =>
  id === undefined || id === null || id < 0 ? null : id;

export function sampling({ do_sample: doSample, ...g }: Generation): Sampling {
  if (doSample === false) return { temperature: 0 };
  return {
    ...(typeof g.temperature === "number" && { temperature: g.temperature }),
    ...(typeof g.top_p === "number" && { topP: g.top_p }),
    ...(typeof g.top_k === "number" && { topK: g.top_k }),
    ...(typeof g.min_p === "number" && { minP: g.min_p }),
  };
}

/** What no type can say; null when all is well. */
function contradiction(config: ModelConfig): string | null {
  const { heads, kvHeads, headDim, vocabSize } = config;
  if (!Number.isInteger(headDim))
    return `hidden_size is not a multiple of num_attention_heads ${heads}`;
  if (headDim % 2 !== 0) return `head_dim ${headDim} is odd; rotary embeddings need pairs`;
  if (heads % kvHeads !== 0) {
    return `num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`;
  }
  const stray = [config.bosId ?? 0, config.padId ?? 0, ...config.eosIds].find(
    (id) => id < 0 || id >= vocabSize,
  );
  return stray === undefined ? null : `token id ${stray} is outside the vocabulary of ${vocabSize}`;
}

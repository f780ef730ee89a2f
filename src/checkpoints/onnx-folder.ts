/**
 * A decoder that somebody exported to ONNX, in the layout that transformers.js reads: `config.json`,
 * `generation_config.json` and `onnx/*.onnx`. How the model is computed is the file's own; here is what else a
 * server has to know. Any architecture: only sizes and token ids are read of its configuration.
 */
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import {
  checkCheckpointJson,
  isMissing,
  readCheckpointJson,
  readOptionalCheckpointJson,
} from "../base/json-file.ts";
import { Generation, knownId, type Sampling, sampling } from "./config.ts";
import { nullable } from "./families.ts";

export interface OnnxFolder {
  readonly folder: string;
  /** Path of the model's file. */
  readonly path: string;
  /** Paths of all files that decide about its tokens. */
  readonly parts: readonly string[];
  readonly config: OnnxConfig;
}

export interface OnnxConfig {
  readonly vocabSize: number;
  readonly contextTokens: number;
  /** null: the configuration does not say. */
  readonly layers: number | null;
  readonly eosIds: readonly number[];
  readonly sampling: Sampling;
}

/** Without the ending; the first that is there is served when nothing is said. */
const DEFAULT_NAME = "model";

/**
 * @param name of the file in `onnx/`, without its ending; empty: `model`, or the only one there.
 * @returns null when the folder has no `onnx/`.
 * @throws GatewayError checkpoint_invalid when the file cannot be chosen, or the configuration says too little.
 */
export async function openOnnxFolder(folder: string, name = ""): Promise<OnnxFolder | null> {
  const files = await filesIn(join(folder, "onnx"));
  if (files === null) return null;
  const known = files.filter((file) => file.endsWith(".onnx")).map((file) => file.slice(0, -5));
  const chosen = chosenName(known, name);
  if (chosen === null) {
    const problem = name
      ? `onnx/ has no ${name}.onnx`
      : `onnx/ has no ${DEFAULT_NAME}.onnx, and not exactly one other`;
    const remedy = `Set policyOnnxFile to one of: ${known.join(", ") || "none is there"}.`;
    throw new GatewayError("checkpoint_invalid", { path: folder, problem, remedy });
  }
  const data = files.filter((file) => file.startsWith(`${chosen}.onnx_data`));
  return {
    folder,
    path: join(folder, "onnx", `${chosen}.onnx`),
    parts: [`${chosen}.onnx`, ...data.sort()].map((file) => join(folder, "onnx", file)),
    config: await readConfig(folder),
  };
}

function chosenName(known: readonly string[], name: string): string | null {
  if (name) return known.includes(name) ? name : null;
  if (known.includes(DEFAULT_NAME)) return DEFAULT_NAME;
  return known.length === 1 ? known[0]! : null;
}

async function filesIn(folder: string): Promise<string[] | null> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

const size = Type.Optional(Type.Integer({ minimum: 1 }));
const ids = nullable(Type.Union([Type.Integer(), Type.Array(Type.Integer())]));

/** The names that transformers' configurations have for one thing; `text_config` holds them for some. */
const Sizes = Type.Object({
  vocab_size: Type.Integer({ minimum: 1 }),
  max_position_embeddings: size,
  n_positions: size,
  n_ctx: size,
  max_seq_len: size,
  num_hidden_layers: size,
  n_layer: size,
  n_layers: size,
  eos_token_id: ids,
});
type Sizes = Static<typeof Sizes>;

async function readConfig(folder: string): Promise<OnnxConfig> {
  const path = join(folder, "config.json");
  const AnyObject = Type.Record(Type.String(), Type.Unknown());
  const sizes: Sizes = checkCheckpointJson(path, Sizes, await readCheckpointJson(path, AnyObject));
  const generation = await readOptionalCheckpointJson(
    join(folder, "generation_config.json"),
    Generation,
  );
  const contextTokens =
    sizes.max_position_embeddings ?? sizes.n_positions ?? sizes.n_ctx ?? sizes.max_seq_len;
  if (contextTokens === undefined) {
    const problem = "it does not say how many positions the model has";
    const remedy = "Add max_position_embeddings.";
    throw new GatewayError("checkpoint_invalid", { path, problem, remedy });
  }
  const ends = [generation?.eos_token_id ?? sizes.eos_token_id ?? []].flat();
  return {
    vocabSize: sizes.vocab_size,
    contextTokens,
    layers: sizes.num_hidden_layers ?? sizes.n_layer ?? sizes.n_layers ?? null,
    eosIds: ends.flatMap((id) => knownId(id) ?? []),
    sampling: sampling(generation ?? {}),
  };
}

/** The bytes of a file a part at a time: a model may have more than fit one buffer. */
export async function* bytesOfFile(path: string): AsyncGenerator<Uint8Array> {
  for await (const part of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    yield part as Uint8Array; // a stream without encoding gives buffers
  }
}

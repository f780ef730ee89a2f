/**
 * A sequence classifier as an ONNX file, in a folder as Hugging Face and transformers.js publish it:
 * `config.json` and `onnx/model.onnx`. Knows nothing of tokenizers and of how the file is run.
 */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Static, Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { readCheckpointJson } from "../base/json-file.ts";
import { tasks } from "./config.ts";
import { nullable } from "./families.ts";

export interface Classifier {
  /** Path of the ONNX file; data that it keeps in other files lie beside it. */
  readonly file: string;
  /** In the order of the logits. */
  readonly labels: readonly string[];
  readonly contextTokens: number;
  readonly padId: number;
  readonly revision: string;
}

/** Where published folders keep the file. */
const usualFiles = ["onnx/model.onnx", "model.onnx"];

/** The ONNX file that the folder is served from, relative to it; null when there is none. */
export function onnxFileIn(folder: string): string | null {
  return usualFiles.find((file) => existsSync(join(folder, file))) ?? null;
}

/**
 * @param file the ONNX file, relative to the folder.
 * @throws GatewayError checkpoint_invalid for missing or corrupt files; architecture_unsupported for a
 * model that is no sequence classifier.
 */
export async function openClassifier(folder: string, file: string): Promise<Classifier> {
  const path = join(folder, "config.json");
  const config = await readCheckpointJson(path, Declared);
  refuseOtherTasks(folder, config);
  const onnx = join(folder, file);
  if (!existsSync(onnx)) throw await missing(onnx);
  return {
    file: onnx,
    labels: labelsOf(config),
    contextTokens: contextOf(config, path),
    padId: config.pad_token_id ?? 0,
    revision: await revisionOf(folder, onnx),
  };
}

const count = Type.Integer({ minimum: 1 });
const Declared = Type.Object({
  architectures: Type.Array(Type.String(), { minItems: 1 }),
  model_type: Type.String(),
  id2label: nullable(Type.Record(Type.String(), Type.String())),
  num_labels: nullable(count),
  pad_token_id: nullable(Type.Integer({ minimum: 0 })),
  max_position_embeddings: nullable(Type.Integer()),
  n_positions: nullable(count),
});
type Declared = Static<typeof Declared>;

function refuseOtherTasks(path: string, { architectures }: Declared): void {
  const ending = tasks["sequence-scores"];
  if (architectures[0]!.endsWith(ending)) return;
  const architecture = architectures.join(", ");
  throw new GatewayError("architecture_unsupported", { path, architecture, known: [`…${ending}`] });
}

/** Two, where nothing is said: transformers' default. */
function labelsOf({ id2label, num_labels: labels }: Declared): string[] {
  const n = id2label ? Object.keys(id2label).length : (labels ?? 2);
  return Array.from({ length: n }, (_, i) => id2label?.[i] ?? `LABEL_${i}`);
}

/** Families whose positions are counted from the padding's id on, which takes that many of them away. */
const offsetPositions =
  /^(roberta|xlm-roberta|xlm-roberta-xl|camembert|longformer|mpnet|data2vec-text)$/;

function contextOf(config: Declared, path: string): number {
  const positions = config.max_position_embeddings ?? config.n_positions ?? 0;
  const taken = offsetPositions.test(config.model_type) ? (config.pad_token_id ?? 1) + 1 : 0;
  if (positions > taken) return positions - taken;
  throw new GatewayError("checkpoint_invalid", {
    path,
    problem: "it does not say how many tokens the model reads",
    remedy: "Set max_position_embeddings.",
  });
}

async function missing(path: string): Promise<GatewayError> {
  const others = await readdir(dirname(path)).catch(() => []);
  const names = others.filter((name) => name.endsWith(".onnx"));
  return new GatewayError("checkpoint_invalid", {
    path,
    problem: "the file is missing",
    remedy: `ONNX files beside it: ${names.join(", ") || "none"}. Export the model, or set rewardFile to the one that is there.`,
  });
}

/** The first 12 hexadecimal digits of the SHA-256 of configuration, tokenizer, graph and its data. */
async function revisionOf(folder: string, onnx: string): Promise<string> {
  const hash = createHash("sha256");
  const texts = (await readdir(folder)).filter((name) => /\.(json|jinja)$/.test(name)).sort();
  const data = (await readdir(dirname(onnx))).filter((name) =>
    name.startsWith(`${basename(onnx)}_data`),
  );
  const paths = [
    ...texts.map((name) => join(folder, name)),
    onnx,
    ...data.sort().map((name) => join(dirname(onnx), name)),
  ];
  for (const path of paths) await pipeline(createReadStream(path), hash, { end: false });
  return hash.digest("hex").slice(0, 12);
}

/** The checkpoint that training starts from: weights, tokenizer, template, and what it will be when it is trained. */
import { createHash } from "node:crypto";
import { GatewayError } from "../../base/errors.ts";
import { Checkpoint } from "../../checkpoints/checkpoint.ts";
import {
  type ModelConfig,
  type Task,
  tasks,
  withPairs,
  withScalarHead,
} from "../../checkpoints/config.ts";
import { weightShapes } from "../../checkpoints/weight-shapes.ts";
import { ChatTemplate } from "../../text/chat-template.ts";
import { Tokenizer } from "../../text/tokenizer.ts";
import type { TrainingState } from "../../train/trainer.ts";
import type { RowFormat } from "./encode-rows.ts";
import type { Method } from "./methods.ts";

export interface Base {
  readonly folder: string;
  readonly checkpoint: Checkpoint;
  /** Of the model to be trained. */
  readonly config: ModelConfig;
  /** Of everything in it that training reads; SHA-256. */
  readonly sha256: string;
  readonly format: RowFormat;
  /** Converted anew at each call. */
  readonly weights: () => TrainingState;
}

/**
 * A reward model starts from one, or from a language model with a head of zeros; a process reward model is one that scores
 * tokens.
 * @throws GatewayError checkpoint_invalid, architecture_unsupported
 */
export async function openBase(
  folder: string,
  { isReward, loss }: Method,
  readsSteps = false,
): Promise<Base> {
  const checkpoint = await Checkpoint.open(folder);
  const readsPairs = loss.name === "preference-model";
  const config = isReward
    ? withPairs(asReward(checkpoint, readsSteps ? "token-scores" : "sequence-scores"), readsPairs)
    : asPolicy(checkpoint);
  const tokenizer = await Tokenizer.load(folder);
  const template = await ChatTemplate.load(folder);
  const endIds = config.eosIds.length > 0 ? config.eosIds : tokenizer.endIds;
  if (endIds.length === 0) {
    const problem = "neither its configuration nor its tokenizer names a token that ends an answer";
    const remedy = "Set eos_token in tokenizer_config.json.";
    throw new GatewayError("checkpoint_invalid", { path: folder, problem, remedy });
  }
  const known = new Set(checkpoint.names);
  return {
    folder,
    checkpoint,
    config,
    sha256: hashOf(checkpoint, tokenizer, template),
    format: { tokenizer, template, endIds },
    weights: () =>
      new Map(
        [...weightShapes(config)].map(([name, shape]) => [
          name,
          known.has(name)
            ? checkpoint.weight(name).data
            : new Float32Array(shape.reduce((product, size) => product * size, 1)),
        ]),
      ),
  };
}

function asPolicy({ folder, config }: Checkpoint): ModelConfig {
  if (config.task === "generation") return config;
  throw unfit(folder, config, [`…${tasks.generation}`]);
}

function asReward(
  { folder, config }: Checkpoint,
  scored: Exclude<Task, "generation">,
): ModelConfig {
  const made = config.task === "generation" ? withScalarHead(config, scored) : config;
  if (made?.task === scored && made.labels === 1) return made;
  throw unfit(folder, config, [`…${tasks[scored]} with one label`, `…${tasks.generation}`]);
}

function unfit(path: string, { task, labels }: ModelConfig, known: readonly string[]) {
  const many = task === "generation" ? "" : ` with ${labels} labels`;
  return new GatewayError("architecture_unsupported", {
    path,
    architecture: `…${tasks[task]}${many}`,
    known,
  });
}

function hashOf(checkpoint: Checkpoint, tokenizer: Tokenizer, template: ChatTemplate | null) {
  const hash = createHash("sha256").update(JSON.stringify(checkpoint.config.files));
  for (const name of checkpoint.names) hash.update(name).update(checkpoint.stored(name).data);
  // what the tokenizer does to a text of every kind of character stands for its files
  hash.update(String(tokenizer.vocabSize)).update(tokenizer.encode(SAMPLE).join());
  return hash.update(template?.source ?? "").digest("hex");
}

const SAMPLE = "The 1st sample: “naïve” café, 3.14 × 10⁻², x_1 = foo(bar);\n\t漢字 😀";

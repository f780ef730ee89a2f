/** Whether a training fits: memory and disk are estimated before it starts. */
import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { freemem } from "node:os";
import { dirname, resolve } from "node:path";
import { GatewayError } from "../../base/errors.ts";
import type { LoraSettings } from "../../checkpoints/adapter.ts";
import type { ModelConfig } from "../../checkpoints/config.ts";
import { parameterCount } from "../../checkpoints/weight-shapes.ts";
import { loraCount } from "../../train/lora.ts";
import type { TrainingOptions } from "./options.ts";

/** Left to everything else on the machine. */
const RESERVE_BYTES = 512 * 2 ** 20;
const FLOAT = 4;
/** What a process needs before it trains. */
const RUNTIME_BYTES = 350 * 2 ** 20;
/** Of what the backward walk reads again: the runtime frees much of it on the way. */
const MEASURED = 0.65;

export interface PassSize {
  readonly rowTokens: number;
  readonly tokens: number;
  /** Rows of logits. */
  readonly scored: number;
}

/**
 * Bytes at the peak of a step: the weights thrice (in use, and the base as it was read, whole and as numbers), and of those
 * that are trained two moments and sums of gradients; what the largest pass keeps for its backward walk; and the runtime
 * itself. Factors: docs/training.md.
 */
export function estimateBytes(
  config: ModelConfig,
  pass: PassSize,
  lora: LoraSettings | null = null,
): number {
  const { hiddenSize: d, intermediateSize: inner, heads, kvHeads, headDim, layers } = config;
  const weights = parameterCount(config);
  const state = FLOAT * (3 * weights + (lora ? 4 * loraCount(config, lora) : 3 * weights));
  const perToken = 14 * d + 8 * inner + 6 * (heads + 2 * kvHeads) * headDim;
  const attention = 5 * heads * pass.rowTokens;
  const activations = FLOAT * pass.tokens * layers * (perToken + attention);
  const logits = config.task === "generation" ? 4 * FLOAT * pass.scored * config.vocabSize : 0;
  return state + MEASURED * (activations + logits) + RUNTIME_BYTES;
}

/** Of a model that is only asked: its weights as they were read and in use, and its law of every place twice. */
const forwardBytes = (config: ModelConfig, { scored }: PassSize): number =>
  FLOAT * (3 * parameterCount(config) + 2 * scored * config.vocabSize) + RUNTIME_BYTES;

/** @throws GatewayError training_too_large; @returns bytes of memory that training is expected to need. */
export async function refuseTooLarge(
  { out, memoryBytesMax, lora }: Pick<TrainingOptions, "out" | "memoryBytesMax" | "lora">,
  config: ModelConfig,
  {
    passes,
    teacher,
    besides = 0,
  }: {
    passes: readonly PassSize[];
    teacher?: ModelConfig | undefined;
    besides?: number;
  },
): Promise<number> {
  const forward = teacher ? passes.map((pass) => forwardBytes(teacher, pass)) : [];
  const step = Math.max(...passes.map((pass) => estimateBytes(config, pass, lora)), ...forward);
  const neededBytes = step + besides;
  const freeBytes = memoryBytesMax ?? freemem() - RESERVE_BYTES;
  if (neededBytes > freeBytes) {
    const remedy =
      "Lower --pass-tokens (the result stays the same), or --context-tokens; --memory-bytes-max lifts the limit.";
    throw new GatewayError("training_too_large", {
      what: "memory",
      neededBytes,
      freeBytes,
      remedy,
    });
  }
  const disk = await statfs(existingPart(resolve(out)));
  const trained = lora ? loraCount(config, lora) : parameterCount(config);
  const diskBytes = 8 * FLOAT * trained; // a state, its successor, the best weights and the model
  const freeDisk = disk.bavail * disk.bsize;
  if (diskBytes > freeDisk) {
    const remedy = "Free some space, or name an --out on another disk.";
    const numbers = { neededBytes: diskBytes, freeBytes: freeDisk };
    throw new GatewayError("training_too_large", { what: "disk", ...numbers, remedy });
  }
  return neededBytes;
}

/** The nearest folder above that is there. */
function existingPart(path: string): string {
  return existsSync(path) ? path : existingPart(dirname(path));
}

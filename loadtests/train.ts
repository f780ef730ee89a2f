/**
 * `npm run bench -- train`: steps of training, all weights and LoRA, each in a process of its own; how near they come to
 * what the machine multiplies, measured in the same minutes; and PyTorch on the same batch in turn, where asked for.
 */
import { freemem } from "node:os";
import { createRandom } from "../src/base/random.ts";
import { type LoraSettings, loraModules } from "../src/checkpoints/adapter.ts";
import { readModelConfig } from "../src/checkpoints/config.ts";
import type { TransformerConfig } from "../src/onnx/transformer.ts";
import { median } from "./engine.ts";
import { matrixValues, measureProducts } from "./machine.ts";
import { checkpointOf, type ModelName } from "./peer-models.ts";
import {
  type Method,
  methods,
  type StepResult,
  TrainingSystem,
  type TrainSettings,
} from "./train-protocol.ts";

const PLUMBLINE = "plumbline";
const PYTORCH = "pytorch";
/** Rows of a step, each one sequence of so many tokens, the first half its prompt. */
const SHAPES: Readonly<Record<ModelName, { rows: number; tokensPerRow: number }>> = {
  "tiny-chat": { rows: 8, tokensPerRow: 256 },
  qwen: { rows: 2, tokensPerRow: 256 },
};
/** Steps of the large model take seconds. */
const LARGE_REPEATS_MAX = 3;
const LORA: LoraSettings = { rank: 16, alpha: 32, isRankStabilized: false, modules: loraModules };
const LEARNING_RATE = 1e-5;

export interface TrainOptions {
  readonly models: readonly ModelName[];
  readonly threads: number;
  readonly repeats: number;
  /** A Python with torch, transformers and peft; null: none is compared with. */
  readonly python: string | null;
}

export interface TrainCase {
  readonly model: ModelName;
  readonly method: Method;
  readonly trains: "full" | "lora";
  /** Of products in one step, of which none could be spared. */
  readonly flops: number;
  /** What the machine multiplies, the best try between the steps. */
  readonly machineFlopsPerSecond: number;
  readonly systems: Readonly<Record<string, SystemFigures>>;
}

interface SystemFigures {
  /** Medians over the rounds. */
  readonly stepMs: number;
  readonly tokensPerSecond: number;
  readonly peakBytes: number | null;
  /** Before anything was learned: equal where the same is computed. */
  readonly firstLoss: number;
}

export async function measureTrain(options: TrainOptions): Promise<TrainCase[]> {
  const cases: TrainCase[] = [];
  for (const model of options.models) {
    const checkpoint = await checkpointOf(model);
    const config = await readModelConfig(checkpoint);
    for (const method of methods) {
      for (const trains of ["full", "lora"] as const) {
        const settings = settingsOf(checkpoint, config, { model, method, trains, ...options });
        console.error(`${model}: ${method}, ${trains}`);
        const measured = await measureCase(settings, config, options);
        const flops = stepFlops(config, settings);
        cases.push({ model, method, trains, flops, ...measured });
      }
    }
  }
  return cases;
}

/** Random ids: how long they take does not depend on which they are. */
function settingsOf(
  checkpoint: string,
  { vocabSize }: TransformerConfig,
  how: Pick<TrainCase, "model" | "method" | "trains"> & Pick<TrainOptions, "threads">,
): TrainSettings {
  const { rows, tokensPerRow } = SHAPES[how.model];
  const random = createRandom(1);
  const draw = (n: number) => Array.from({ length: n }, () => random.integer(vocabSize));
  const half = tokensPerRow / 2;
  const prompts = Array.from({ length: rows / 2 }, () => draw(half));
  return {
    checkpoint,
    method: how.method,
    lora: how.trains === "lora" ? LORA : null,
    threads: how.threads,
    learningRate: LEARNING_RATE,
    tokensPerRow,
    sequences: prompts.flatMap((prompt) =>
      // the last token is predicted only
      [draw(half + 1), draw(half + 1)].map((completion) => ({ prompt, completion })),
    ),
    references: Array.from({ length: rows }, () => -half * Math.log(vocabSize)),
  };
}

async function measureCase(
  settings: TrainSettings,
  config: TransformerConfig,
  { threads, repeats, python }: TrainOptions,
): Promise<Pick<TrainCase, "machineFlopsPerSecond" | "systems">> {
  const names = python === null ? [PLUMBLINE] : [PLUMBLINE, PYTORCH];
  const start = (name: string) => TrainingSystem.start(name, commandOf(name, python), settings);
  const isLarge = trainingBytes(config, settings) > freemem() / names.length;
  const rounds = isLarge ? Math.min(repeats, LARGE_REPEATS_MAX) : repeats;
  const rates: number[] = [];
  const systems: Record<string, SystemFigures> = {};
  // Those that fit side by side take turns, else one comes after the other.
  for (const group of isLarge ? names.map((name) => [name]) : [names]) {
    const running: TrainingSystem[] = [];
    for (const name of group) running.push(await start(name));
    const results = new Map<string, StepResult[]>(group.map((name) => [name, []]));
    for (let round = -1; round < rounds; round++) {
      rates.push(await measureProducts(threads));
      for (const system of running) results.get(system.name)!.push(await system.step());
    }
    for (const system of running) {
      const peakBytes = await system.peakBytes();
      systems[system.name] = figuresOf(results.get(system.name)!, settings, peakBytes);
      await system.stop();
    }
  }
  return { machineFlopsPerSecond: Math.max(...rates), systems };
}

function commandOf(name: string, python: string | null): [string, ...string[]] {
  const own = new URL("peers/train-plumbline.ts", import.meta.url).pathname;
  const other = new URL("peers/train-pytorch.py", import.meta.url).pathname;
  return name === PYTORCH
    ? [python!, other] // started only when there is one
    : [process.execPath, ...process.execArgv, own];
}

/** The first step warms up. */
function figuresOf(
  [first, ...results]: readonly StepResult[],
  { sequences, tokensPerRow }: TrainSettings,
  peakBytes: number | null,
): SystemFigures {
  const stepMs = median(results.map(({ ms }) => ms));
  const tokensPerSecond = (1000 * sequences.length * tokensPerRow) / stepMs;
  return { stepMs, tokensPerSecond, peakBytes, firstLoss: first!.loss };
}

/** Weights, moments, gradients, the next ones, and the logits with what softmax and its gradient make of them. */
function trainingBytes(
  config: TransformerConfig,
  { lora, sequences, tokensPerRow }: TrainSettings,
) {
  const weights = 4 * matrixValues(config) * (lora ? 1 : 8);
  return weights + 4 * 6 * sequences.length * (tokensPerRow / 2) * config.vocabSize;
}

/**
 * Products that a step cannot do without: forward, and backward one for what a matrix reads and one for itself
 * where it is trained. Attention counts as the whole square of a row, as both systems compute it.
 */
function stepFlops(config: TransformerConfig, { lora, sequences, tokensPerRow }: TrainSettings) {
  const { layers, hiddenSize: d, intermediateSize: inner, vocabSize } = config;
  const [queries, keys] = [config.heads * config.headDim, config.kvHeads * config.headDim];
  const tokens = sequences.length * tokensPerRow;
  const scored = sequences.reduce((sum, { completion }) => sum + completion.length, 0);
  const head = 2 * scored * d * vocabSize;
  const body = 2 * tokens * (matrixValues(config) - d * vocabSize);
  const attention = 4 * tokens * tokensPerRow * queries * layers;
  if (!lora) return 3 * (body + head + attention);
  const sizes = [d + queries, d + keys, d + keys, queries + d, d + inner, d + inner, inner + d];
  const own = 2 * tokens * lora.rank * layers * sizes.reduce((sum, size) => sum + size);
  const unread = 2 * tokens * d * (queries + 2 * keys); // the first layer's inputs are not learned
  return 2 * (body + head) - unread + 3 * (attention + own);
}

/**
 * What `bench -- train` and the process of a system under test say to each other: settings as the first argument,
 * then a line for each step and a line of JSON back. Python speaks it too (peers/train-pytorch.py).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { LoraSettings } from "../src/checkpoints/adapter.ts";
import { peakBytes } from "./peak-bytes.ts";

export const methods = ["sft", "dpo"] as const;
export type Method = (typeof methods)[number];

export interface TrainSettings {
  readonly checkpoint: string;
  readonly method: Method;
  /** null: all weights are trained. */
  readonly lora: LoraSettings | null;
  readonly threads: number;
  readonly learningRate: number;
  /** Tokens that a row of the batch holds: prompt and completion of each sequence, but for the last token. */
  readonly tokensPerRow: number;
  /** All of one length. For dpo by twos: the chosen and the rejected answer to one prompt. */
  readonly sequences: readonly {
    readonly prompt: readonly number[];
    readonly completion: readonly number[];
  }[];
  /** dpo: what the reference says of each sequence, in nats. */
  readonly references: readonly number[];
}

export interface StepResult {
  readonly ms: number;
  readonly loss: number;
}

/** The system's side, in Node.js. */
export async function answerSteps(
  load: (settings: TrainSettings) => Promise<() => Promise<StepResult>>,
): Promise<void> {
  const step = await load(JSON.parse(process.argv[2]!));
  const say = (message: unknown) => process.stdout.write(`${JSON.stringify(message)}\n`);
  say("ready");
  for await (const _ of createInterface({ input: process.stdin })) say(await step());
}

/** The bench's side. */
export class TrainingSystem {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** @param command a program and its first arguments; the settings come after them. */
  static async start(
    name: string,
    [program, ...args]: readonly [string, ...string[]],
    settings: TrainSettings,
  ): Promise<TrainingSystem> {
    const child = spawn(program, [...args, JSON.stringify(settings)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const system = new TrainingSystem(name, child);
    await system.#answer();
    return system;
  }

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#process = child;
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  async step(): Promise<StepResult> {
    this.#process.stdin!.write("step\n");
    return (await this.#answer()) as StepResult; // the protocol: a result answers each step
  }

  /** The most memory that was resident at once, bytes; null where the system does not say. */
  peakBytes(): Promise<number | null> {
    return peakBytes(this.#process.pid!);
  }

  async stop(): Promise<void> {
    const exit = once(this.#process, "exit");
    this.#process.stdin!.end();
    await exit;
  }

  async #answer(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.name} ended before it answered`);
    return JSON.parse(value);
  }
}

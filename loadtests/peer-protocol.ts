/** What the bench and the process of a system under test say to each other; both sides. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { peakBytes } from "./peak-bytes.ts";

/** One checkpoint in the three forms, and what every system is told alike. */
export interface SystemSettings {
  readonly checkpoint: string;
  readonly onnx: string;
  readonly gguf: string;
  readonly threads: number;
  /** Prompt and completion of the longest request. */
  readonly contextTokens: number;
}

export interface Work {
  /** Token ids; all requests come at once. */
  readonly prompts: readonly (readonly number[])[];
  /** Completions of each prompt. */
  readonly samples: number;
  /** Of each completion: ends do not count. */
  readonly tokens: number;
  /** The second keeps the 50 most likely. */
  readonly sampling: "greedy" | "temperature-1";
}

export interface Result {
  readonly ms: number;
  /** By sequence: from the start to its first token. */
  readonly firstMs: readonly number[];
  readonly tokens: readonly (readonly number[])[];
}

export type Load = (settings: SystemSettings) => Promise<(work: Work) => Promise<Result>>;

/** The system's side: loads, then answers one message at a time until the bench is gone. */
export async function answerBench(load: Load): Promise<void> {
  const generate = await load(JSON.parse(process.argv[2]!));
  process.on("message", (work: Work) => {
    void generate(work).then((result) => process.send!(result));
  });
  process.on("disconnect", () => process.exit(0));
  process.send!("ready");
}

/** Threads that wait for work go on spinning for a moment; the next system should not feel it. */
const SETTLE_MS = 300;

/** The bench's side: a system in a process of its own. */
export class System {
  readonly name: string;
  readonly #process: ChildProcess;

  static async start(name: string, script: URL, settings: SystemSettings): Promise<System> {
    const child = fork(script, [JSON.stringify(settings)]);
    const system = new System(name, child);
    await system.#answer();
    return system;
  }

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#process = child;
  }

  async run(work: Work): Promise<Result> {
    await pause(SETTLE_MS);
    this.#process.send(work);
    return this.#answer() as Promise<Result>; // the protocol: a result answers each work
  }

  /** The most memory that was resident at once, bytes; null where the system does not say. */
  peakBytes(): Promise<number | null> {
    return peakBytes(this.#process.pid!);
  }

  async stop(): Promise<void> {
    const exit = once(this.#process, "exit");
    this.#process.disconnect();
    await exit;
  }

  async #answer(): Promise<unknown> {
    const ended = new AbortController();
    const { signal } = ended;
    const exit = once(this.#process, "exit", { signal }).then(([code]) => {
      throw new Error(`${this.name} ended with ${code} before it answered`);
    });
    exit.catch(() => undefined); // aborted when the answer came
    const [message] = await Promise.race([once(this.#process, "message", { signal }), exit]);
    ended.abort();
    return message;
  }
}

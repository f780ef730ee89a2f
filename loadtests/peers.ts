/**
 * `npm run bench -- peers`: this engine, transformers.js and node-llama-cpp on the same checkpoint, prompts, lengths and
 * threads, each in a process of its own, taking turns within every round; and how near decoding comes to what
 * the machine could do. How each peer is driven is said in its file in `peers/`.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "../src/base/random.ts";
import type { ModelConfig } from "../src/checkpoints/config.ts";
import type { GgufType } from "../src/checkpoints/gguf.ts";
import { median } from "./engine.ts";
import { type Machine, matrixValues, measureMachine, stepBoundMs } from "./machine.ts";
import { type ModelName, modelForms } from "./peer-models.ts";
import { type Result, System, type SystemSettings, type Work } from "./peer-protocol.ts";

export const systems = ["plumbline", "transformers_js", "node_llama_cpp"] as const;
export type SystemName = (typeof systems)[number];
const SCRIPTS: Readonly<Record<SystemName, string>> = {
  plumbline: "plumbline.ts",
  transformers_js: "transformers-js.mjs",
  node_llama_cpp: "node-llama-cpp.mjs",
};

export const concurrencies = [1, 8, 32] as const;
export type Concurrency = (typeof concurrencies)[number];
/** Tokens of the prompts, in turn. */
const PROMPT_TOKENS = [48, 16, 96, 32];
const BEST_OF = 16;
/** Of the one request by which decoding alone is measured: its samples all begin at once. */
const DECODE_PROMPT_TOKENS = 16;

export interface PeersOptions {
  readonly model: ModelName;
  readonly type: GgufType;
  readonly threads: number;
  readonly tokens: number;
  readonly repeats: number;
}

/** Milliseconds and tokens per second are medians over the rounds. */
export interface SystemFigures {
  readonly tokensPerSecond: Readonly<Record<Concurrency, number>>;
  /** Median over the requests of a round. */
  readonly firstTokenMs: Readonly<Record<Concurrency, number>>;
  readonly bestOf16Ms: number;
  readonly peakBytes: number | null;
  /** Share of the greedy tokens that are this engine's own. */
  readonly sameTokens: number;
}

export interface PeersMeasured {
  readonly options: PeersOptions;
  readonly systems: Readonly<Record<SystemName, SystemFigures>>;
  readonly machine: Machine;
  readonly decode: readonly DecodeFigures[];
}

/** A step for so many sequences, measured and at best. */
interface DecodeFigures {
  readonly sequences: Concurrency;
  readonly tokensPerSecond: number;
  readonly boundTokensPerSecond: number;
}

export function arePeersInstalled(): boolean {
  const modules = join(import.meta.dirname, "peers/node_modules");
  return ["@huggingface/transformers", "node-llama-cpp"].every((name) =>
    existsSync(join(modules, name)),
  );
}

export async function measurePeers(options: PeersOptions): Promise<PeersMeasured> {
  const { model, type, threads, tokens, repeats } = options;
  const { config, ...forms } = await modelForms(model, type);
  const contextTokens = 32 * Math.ceil((Math.max(...PROMPT_TOKENS) + tokens) / 32);
  // Before the others are in memory and on the cores.
  const machine = await measureMachine(4 * matrixValues(config), threads);
  const running = await startAll({ ...forms, threads, contextTokens });
  const works = worksOf(config, tokens);
  const results = new Map(systems.map((name) => [name, new Map<string, Result[]>()]));
  for (let round = -1; round < repeats; round++) {
    console.error(
      round < 0 ? `${model}: warming up` : `${model}: round ${round + 1} of ${repeats}`,
    );
    for (const [key, work] of works) {
      for (const system of inTurn(running, round)) {
        if (key.startsWith("decode") && system.name !== "plumbline") continue;
        const result = await system.run(work);
        if (round < 0) continue; // the first round warms up
        const rounds = results.get(system.name as SystemName)!; // started under that name
        rounds.set(key, [...(rounds.get(key) ?? []), result]);
      }
    }
  }
  const peaks = await Promise.all(running.map((system) => system.peakBytes()));
  await Promise.all(running.map((system) => system.stop()));
  const figures = systems.map((name, i) => {
    const own = results.get("plumbline")!;
    return [name, figuresOf(results.get(name)!, own, { tokens, peakBytes: peaks[i]! })] as const;
  });
  const decode = concurrencies.map((n) =>
    decodeFigures(results.get("plumbline")!.get(`decode ${n}`)!, { n, tokens, machine, config }),
  );
  const byName = Object.fromEntries(figures) as PeersMeasured["systems"]; // one for each name
  return { options, systems: byName, machine, decode };
}

function startAll(settings: SystemSettings): Promise<System[]> {
  const script = (name: SystemName) => new URL(`peers/${SCRIPTS[name]}`, import.meta.url);
  return Promise.all(systems.map((name) => System.start(name, script(name), settings)));
}

/** Each round begins with another system. */
function inTurn<T>(items: readonly T[], round: number): T[] {
  const first = (round + items.length) % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}

function worksOf(config: ModelConfig, tokens: number): Map<string, Work> {
  const prompts = promptsOf(config);
  const short = [prompts[0]!.slice(0, DECODE_PROMPT_TOKENS)];
  const works = new Map<string, Work>();
  for (const n of concurrencies) {
    works.set(`${n}`, { prompts: prompts.slice(0, n), samples: 1, tokens, sampling: "greedy" });
    works.set(`decode ${n}`, { prompts: short, samples: n, tokens, sampling: "greedy" });
  }
  const one = prompts.slice(0, 1);
  return works.set("best", { prompts: one, samples: BEST_OF, tokens, sampling: "temperature-1" });
}

/** Random ids: how long they take does not depend on which they are. */
function promptsOf({ eosIds, vocabSize }: ModelConfig): number[][] {
  const random = createRandom(1);
  const ordinary = Math.min(vocabSize, 1500);
  const first = Math.max(...eosIds, 0) + 1; // tiny-chat's special tokens are its first
  return Array.from({ length: Math.max(...concurrencies) }, (_, i) =>
    Array.from(
      { length: PROMPT_TOKENS[i % PROMPT_TOKENS.length]! },
      () => first + random.integer(ordinary - first),
    ),
  );
}

function figuresOf(
  rounds: ReadonlyMap<string, readonly Result[]>,
  own: ReadonlyMap<string, readonly Result[]>,
  { tokens, peakBytes }: { tokens: number; peakBytes: number | null },
): SystemFigures {
  const of = (key: string) => rounds.get(key)!;
  const perSize = (value: (n: Concurrency) => number) => ({
    1: value(1),
    8: value(8),
    32: value(32),
  });
  const ms = (key: string) => median(of(key).map((result) => result.ms));
  return {
    tokensPerSecond: perSize((n) => (1000 * n * tokens) / ms(`${n}`)),
    firstTokenMs: perSize((n) => median(of(`${n}`).map(({ firstMs }) => median(firstMs)))),
    bestOf16Ms: ms("best"),
    peakBytes,
    sameTokens: sameShare(of("32")[0]!.tokens.flat(), own.get("32")![0]!.tokens.flat()),
  };
}

function sameShare(tokens: readonly number[], others: readonly number[]): number {
  return tokens.filter((token, i) => token === others[i]).length / tokens.length;
}

function decodeFigures(
  results: readonly Result[],
  {
    n,
    tokens,
    machine,
    config,
  }: { n: Concurrency; tokens: number; machine: Machine; config: ModelConfig },
): DecodeFigures {
  const stepMs = median(results.map((result) => stepMsOf(result)));
  const contextTokens = DECODE_PROMPT_TOKENS + tokens / 2; // on average
  const boundMs = stepBoundMs(machine, config, { n, contextTokens });
  return {
    sequences: n,
    tokensPerSecond: (1000 * n) / stepMs,
    boundTokensPerSecond: (1000 * n) / boundMs,
  };
}

/** The first token comes with the prompt, the others with a step each. */
export function stepMsOf({ ms, firstMs, tokens }: Result): number {
  return (ms - Math.max(...firstMs)) / (tokens[0]!.length - 1);
}

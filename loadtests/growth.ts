/** `npm run bench -- growth`: how a step of decoding grows with the sequences, and with the context of one. */

import { median } from "./engine.ts";
import { longTinyChat } from "./peer-models.ts";
import { System } from "./peer-protocol.ts";
import type { PeersOptions } from "./peers.ts";
import { stepMsOf } from "./peers.ts";
import { rounded } from "./table.ts";

const CONTEXT_MAX = 4096;
const SEQUENCES = [1, 2, 4, 8, 16, 32, 64];
const CONTEXTS = [128, 256, 512, 1024, 2048, CONTEXT_MAX];
/** Of the curve over sequences. */
const SHORT_PROMPT_TOKENS = 16;
/** Of the curve over contexts. */
const CONTEXT_SEQUENCES = [1, 8];

export interface GrowthPoint {
  readonly sequences: number;
  /** Prompt and completion. */
  readonly contextTokens: number;
  /** Median over the rounds. */
  readonly stepMs: number;
  /** From the request to the first token: the prompt. */
  readonly firstTokenMs: number;
}

export interface Growth {
  readonly bySequences: readonly GrowthPoint[];
  readonly byContext: readonly GrowthPoint[];
}

/** tiny-chat's shape, random weights, room for 4,096 tokens. */
export async function measureGrowth({
  threads,
  tokens,
  repeats,
}: Pick<PeersOptions, "threads" | "tokens" | "repeats">): Promise<Growth> {
  const checkpoint = await longTinyChat(CONTEXT_MAX);
  const script = new URL("peers/plumbline.ts", import.meta.url);
  const settings = { checkpoint, onnx: "", gguf: "", threads, contextTokens: CONTEXT_MAX };
  const system = await System.start("plumbline", script, settings);

  const point = async (sequences: number, promptTokens: number): Promise<GrowthPoint> => {
    const prompt = Array.from({ length: promptTokens }, (_, i) => 3 + (i % 1500));
    const work = { prompts: [prompt], samples: sequences, tokens, sampling: "greedy" } as const;
    const stepMs: number[] = [];
    const firstMs: number[] = [];
    for (let round = -1; round < repeats; round++) {
      const result = await system.run(work);
      if (round < 0) continue; // the first round allocates
      stepMs.push(stepMsOf(result));
      firstMs.push(Math.max(...result.firstMs));
    }
    return {
      sequences,
      contextTokens: promptTokens + tokens,
      stepMs: median(stepMs),
      firstTokenMs: median(firstMs),
    };
  };
  const bySequences: GrowthPoint[] = [];
  for (const n of SEQUENCES) bySequences.push(await point(n, SHORT_PROMPT_TOKENS));
  const byContext: GrowthPoint[] = [];
  for (const n of CONTEXT_SEQUENCES)
    for (const context of CONTEXTS) byContext.push(await point(n, context - tokens));
  await system.stop();
  return { bySequences, byContext };
}

export function growthReport({ bySequences, byContext }: Growth): string {
  return [
    "## Sequences",
    curve(bySequences, ({ sequences }) => `${sequences}`, "sequences"),
    ...CONTEXT_SEQUENCES.map((n) => {
      const points = byContext.filter(({ sequences }) => sequences === n);
      const label = ({ contextTokens }: GrowthPoint) => `${contextTokens}`;
      return `## Context, ${n === 1 ? "one sequence" : `${n} sequences`}\n\n${curve(points, label, "tokens")}`;
    }),
  ].join("\n\n");
}

const BAR_WIDTH = 40;

/** A table whose bars are proportional to the step's time. */
function curve(
  points: readonly GrowthPoint[],
  label: (point: GrowthPoint) => string,
  unit: string,
): string {
  const longest = Math.max(...points.map(({ stepMs }) => stepMs));
  const lines = points.map((point) => {
    const { sequences, stepMs, firstTokenMs } = point;
    const bar = "█".repeat(Math.max(1, Math.round((BAR_WIDTH * stepMs) / longest)));
    const speed = rounded((1000 * sequences) / stepMs);
    return `| ${label(point)} | ${rounded(firstTokenMs)} | ${rounded(stepMs)} | ${speed} | ${bar} |`;
  });
  return [
    `| ${unit} | first token, ms | step, ms | tokens/s | a step's time |`,
    "| --- | --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}

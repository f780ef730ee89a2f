/** What `npm run bench -- peers` says: ratios within the run, and the table with the figures behind them. */
import {
  concurrencies,
  type PeersMeasured,
  type SystemFigures,
  type SystemName,
  systems,
} from "./peers.ts";
import { type Row, rounded, tableOf } from "./table.ts";

export type PeerRatios = ReturnType<typeof ratiosOf>;

/** This engine's speed over another's; best-of-16: the other's time over this engine's. */
export function ratiosOf({ systems: figures, decode }: PeersMeasured) {
  const { plumbline, transformers_js: transformers, node_llama_cpp: llama } = figures;
  return {
    transformers_js_1: plumbline.tokensPerSecond[1] / transformers.tokensPerSecond[1],
    transformers_js_32: plumbline.tokensPerSecond[32] / transformers.tokensPerSecond[32],
    node_llama_cpp_1: plumbline.tokensPerSecond[1] / llama.tokensPerSecond[1],
    node_llama_cpp_32: plumbline.tokensPerSecond[32] / llama.tokensPerSecond[32],
    best_of_16_transformers_js: transformers.bestOf16Ms / plumbline.bestOf16Ms,
    of_machine_bound: decode.at(-1)!.tokensPerSecond / decode.at(-1)!.boundTokensPerSecond,
  };
}

/** Of several models: each ratio where it is least. */
export function leastOf(all: readonly PeerRatios[]): PeerRatios {
  const keys = Object.keys(all[0]!) as (keyof PeerRatios)[]; // the keys of an object literal
  const least = keys.map((key) => [key, Math.min(...all.map((ratios) => ratios[key]))]);
  return Object.fromEntries(least) as PeerRatios; // one for each key
}

export function peersReport(measured: PeersMeasured): string {
  const { model, threads, tokens, repeats, type } = measured.options;
  const title = `${model}: ${tokens} new tokens a sequence, ${threads} threads, medians of ${repeats} rounds, GGUF in ${type}`;
  return [
    `## ${title}`,
    figuresTable(measured),
    boundTable(measured),
    tableOf(ratioRows(ratiosOf(measured))),
  ].join("\n\n");
}

function figuresTable({ systems: figures }: PeersMeasured): string {
  const line = (what: string, value: (of: SystemFigures) => string) =>
    `| ${[what, ...systems.map((name) => value(figures[name]))].join(" | ")} |`;
  return [
    `| | ${systems.map((name) => titles[name]).join(" | ")} |`,
    `| --- |${" --- |".repeat(systems.length)}`,
    ...concurrencies.map((n) =>
      line(`tokens/s, ${n} concurrent`, (of) => rounded(of.tokensPerSecond[n])),
    ),
    ...concurrencies.map((n) =>
      line(`first token, ${n} concurrent, ms`, (of) => rounded(of.firstTokenMs[n])),
    ),
    line("16 samples of one prompt, ms", (of) => rounded(of.bestOf16Ms)),
    line("peak memory, MB", ({ peakBytes }) => (peakBytes ? rounded(peakBytes / 1e6) : "–")),
    line("greedy tokens as plumbline's, %", (of) => rounded(100 * of.sameTokens)),
  ].join("\n");
}

const titles: Readonly<Record<SystemName, string>> = {
  plumbline: "plumbline",
  transformers_js: "transformers.js",
  node_llama_cpp: "node-llama-cpp",
};

function boundTable({ machine, decode }: PeersMeasured): string {
  const reads = rounded(machine.bytesPerSecond / 1e9);
  const multiplies = rounded(machine.flopsPerSecond / 1e9);
  return [
    `The machine reads ${reads} GB/s and multiplies ${multiplies} GFLOP/s.`,
    "",
    "| decoding alone | tokens/s | bound | share |",
    "| --- | --- | --- | --- |",
    ...decode.map(({ sequences, tokensPerSecond, boundTokensPerSecond }) => {
      const share = rounded((100 * tokensPerSecond) / boundTokensPerSecond);
      return `| ${sequences} sequences | ${rounded(tokensPerSecond)} | ${rounded(boundTokensPerSecond)} | ${share} % |`;
    }),
  ].join("\n");
}

function ratioRows(ratios: PeerRatios): Row[] {
  const times = (what: string, value: number, aim: string): Row => ({
    what,
    value,
    unit: "×",
    aim,
  });
  return [
    times("transformers.js, 1 concurrent", ratios.transformers_js_1, "≥ 1"),
    times("node-llama-cpp, 1 concurrent", ratios.node_llama_cpp_1, "≥ 1"),
    times("transformers.js, 32 concurrent", ratios.transformers_js_32, "≥ 5"),
    times("node-llama-cpp, 32 concurrent", ratios.node_llama_cpp_32, "≥ 1.2"),
    times("transformers.js, 16 samples", ratios.best_of_16_transformers_js, "≥ 5"),
    {
      what: "decoding over the machine's bound, 32 sequences",
      value: 100 * ratios.of_machine_bound,
      unit: "%",
      aim: "≥ 60",
    },
  ];
}

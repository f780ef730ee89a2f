/**
 * `npm run bench -- engine [--json]`: what the engine costs on the embedded models, as ratios within one
 * run, so that they mean the same on every machine. Nothing is asserted; the aims are printed beside.
 */
import { measureEngine } from "./engine.ts";
import { measureLoopDelay } from "./streams.ts";
import { measureTraining } from "./training.ts";

interface Row {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly aim?: string;
}

const [suite, ...flags] = process.argv.slice(2);
if (suite !== "engine") {
  console.error(`bench: unknown suite '${suite ?? ""}'. Known: engine.`);
  process.exit(2);
}
const { ratios, details } = await benchEngine();
console.log(
  flags.includes("--json") ? JSON.stringify({ ratios, details }) : table(rows(ratios, details)),
);

async function benchEngine() {
  const engine = await measureEngine();
  const loopDelayMs = await measureLoopDelay({ streams: 32, seconds: 8 });
  const training = await measureTraining();
  const ratios = {
    batch32_over_1: engine.tokensPerSecond[32] / engine.tokensPerSecond[1],
    best_of_16_over_1: engine.bestOf16Ms / engine.singleMs,
    ort_share: engine.ortShare,
    loop_delay_p99_ms: loopDelayMs,
    training_over_forward: training.stepTokensPerSecond / training.forwardTokensPerSecond,
  };
  return { ratios, details: { ...engine, ...training } };
}

function rows(
  ratios: Awaited<ReturnType<typeof benchEngine>>["ratios"],
  details: Awaited<ReturnType<typeof benchEngine>>["details"],
): Row[] {
  const { tokensPerSecond } = details;
  return [
    { what: "decode, 1 sequence", value: tokensPerSecond[1], unit: "tokens/s" },
    { what: "decode, 8 sequences", value: tokensPerSecond[8], unit: "tokens/s" },
    { what: "decode, 32 sequences", value: tokensPerSecond[32], unit: "tokens/s" },
    { what: "32 sequences over 1", value: ratios.batch32_over_1, unit: "×", aim: "≥ 8" },
    { what: "one sample", value: details.singleMs, unit: "ms" },
    { what: "best-of-16, scored", value: details.bestOf16Ms, unit: "ms" },
    { what: "best-of-16 over one sample", value: ratios.best_of_16_over_1, unit: "×", aim: "≤ 3" },
    {
      what: "share of a step inside ONNX Runtime, 32 sequences",
      value: 100 * ratios.ort_share,
      unit: "%",
      aim: "≥ 80",
    },
    {
      what: "event-loop delay p99, 32 streams",
      value: ratios.loop_delay_p99_ms,
      unit: "ms",
      aim: "≤ 15",
    },
    { what: "training step", value: details.stepTokensPerSecond, unit: "tokens/s" },
    { what: "forward pass alone", value: details.forwardTokensPerSecond, unit: "tokens/s" },
    {
      what: "training over forward",
      value: ratios.training_over_forward,
      unit: "×",
      aim: "≥ 0.25",
    },
  ];
}

function table(lines: readonly Row[]): string {
  const body = lines.map(
    ({ what, value, unit, aim = "" }) =>
      `| ${what} | ${Number(value.toPrecision(3))} ${unit} | ${aim} |`,
  );
  return ["| measured | value | aim |", "| --- | --- | --- |", ...body].join("\n");
}

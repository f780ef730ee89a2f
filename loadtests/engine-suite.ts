/** `npm run bench -- engine`: the embedded models by themselves. */
import { measureEngine } from "./engine.ts";
import { measureLoopDelay } from "./streams.ts";
import { type Row, tableOf } from "./table.ts";
import { measureTraining } from "./training.ts";

type EngineSuite = Awaited<ReturnType<typeof measureEngineSuite>>;

export async function measureEngineSuite() {
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

export function engineReport({ ratios, details }: EngineSuite): string {
  const { tokensPerSecond } = details;
  const rows: Row[] = [
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
  return tableOf(rows);
}

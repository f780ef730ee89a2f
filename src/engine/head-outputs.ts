/** What a run gives at each position that reaches the head: distributions of a policy, scores of a reward model. */
import type { Tensor } from "../onnx/runtime/index.ts";
import type { LogitsRow } from "./sampler.ts";
import type { ServingModel } from "./serving-model.ts";

export interface HeadOutputs<Output> {
  /** What the head wants to know beyond what the body does. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** After the run, one for each position. They live on. */
  read(): Output[];
  dispose(): void;
}

/** @param temperature of the cumulative distribution. */
export function distributions(
  { runtime, config: { vocabSize } }: ServingModel,
  positions: number,
  temperature: number,
): HeadOutputs<LogitsRow> {
  const temperatures = new Float32Array(positions).fill(temperature);
  const inputs = { temperature: runtime.tensor("float32", [positions, 1], temperatures) };
  const outputs = {
    logits: runtime.tensor("float32", [positions, vocabSize]),
    log_sum_exp: runtime.tensor("float32", [positions]),
    cdf: runtime.tensor("float32", [positions, vocabSize]),
  };
  return {
    inputs,
    outputs,
    read: () =>
      Array.from({ length: positions }, (_, i) => ({
        logits: row(outputs.logits, i),
        logSumExp: outputs.log_sum_exp.data[i]!,
        cdf: row(outputs.cdf, i),
      })),
    dispose: () => disposeAll({ ...inputs, ...outputs }),
  };
}

/** [labels] at each position. */
export function scores(
  { runtime, config: { labels } }: ServingModel,
  positions: number,
): HeadOutputs<Float32Array> {
  const outputs = { scores: runtime.tensor("float32", [positions, labels]) };
  return {
    inputs: {},
    outputs,
    read: () => Array.from({ length: positions }, (_, i) => row(outputs.scores, i)),
    dispose: () => disposeAll(outputs),
  };
}

/** A view: the array outlives the tensor. */
function row(tensor: Tensor<"float32">, i: number): Float32Array {
  const width = tensor.shape[1]!;
  return tensor.data.subarray(i * width, (i + 1) * width);
}

function disposeAll(tensors: Readonly<Record<string, Tensor>>): void {
  for (const tensor of Object.values(tensors)) tensor.dispose();
}

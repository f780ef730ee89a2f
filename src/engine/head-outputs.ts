/** What a run gives at each position that reaches the head: distributions of a policy, scores of a reward model. */
import type { OutputTarget, Tensor } from "../onnx/runtime/index.ts";
import type { LogitsRow } from "./sampler.ts";
import type { BoundRun, ServingModel } from "./serving-model.ts";
import { disposeTensors } from "./step-head.ts";

export interface HeadOutputs<Output> {
  /** What the head wants to know beyond what the body does. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, OutputTarget>>;
  /** After the run, one for each position. They live on. */
  read(bound: BoundRun): Promise<Output[]>;
  dispose(): void;
}

/** @param temperature of the cumulative distribution. */
export function distributions(
  model: ServingModel,
  positions: number,
  temperature: number,
): HeadOutputs<LogitsRow> {
  const head = model.createHead(positions);
  const asked = { temperature, uniform: 0, wantsLogits: true };
  for (let i = 0; i < positions; i++) head.fill(i, asked);
  const { inputs, outputs } = head.views(positions);
  return {
    inputs,
    outputs,
    async read(bound) {
      const rows = new Map(Array.from({ length: positions }, (_, i) => [i, asked]));
      return [...(await head.take(bound, rows)).values()] as LogitsRow[]; // whole rows were asked for
    },
    dispose() {
      disposeTensors([...Object.values(inputs), ...Object.values(outputs)]);
      head.dispose();
    },
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
    read: async () => Array.from({ length: positions }, (_, i) => row(outputs.scores, i)),
    dispose: () => outputs.scores.dispose(),
  };
}

/** A view: the array outlives the tensor. */
function row(tensor: Tensor<"float32">, i: number): Float32Array {
  const width = tensor.shape[1]!;
  return tensor.data.subarray(i * width, (i + 1) * width);
}

/**
 * LoRA in a training graph: y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ for the matrices W of chosen modules, which stay as they are
 * and are never added to. A and B are weights under PEFT's names, without what PEFT puts in front.
 * Source: Hu et al., arXiv:2106.09685, section 4.1; s = α/r, or α/√r (Kalajdzievski, arXiv:2312.03732).
 */
import { assert } from "../base/assert.ts";
import type { Random } from "../base/random.ts";
import { type LoraMatrix, type LoraSettings, loraScale } from "../checkpoints/adapter.ts";
import type { ModelConfig } from "../checkpoints/config.ts";
import { weightShapes } from "../checkpoints/weight-shapes.ts";
import type { Graph, Value } from "../onnx/graph.ts";
import type { WeightSource, Weights } from "../onnx/transformer.ts";

export type { LoraSettings } from "../checkpoints/adapter.ts";

/** @param weight gives A, [rank, inputs], and B, [outputs, rank], by name. */
export function withLora(
  g: Graph,
  base: Weights,
  weight: WeightSource,
  settings: LoraSettings,
): Weights {
  const { rank } = settings;
  const alpha = loraScale(settings, rank);
  const adapt = (x: Value, y: Value, module: string, outputs: number) => {
    if (!isAdapted(module, settings)) return y;
    const { a, b } = loraNames(module);
    const low = g.matmul(x, weight(a, [rank, Number(x.shape[1])]), { transB: true });
    return g.add(y, g.matmul(low, weight(b, [outputs, rank]), { transB: true, alpha }));
  };
  return {
    ...base,
    product: (x, name, outputs) => adapt(x, base.product(x, name, outputs), name, outputs),
    products: (x, matrices) =>
      base.products(x, matrices).map((y, i) => {
        const { name, outputs } = matrices[i]!;
        return adapt(x, y, name, outputs);
      }),
  };
}

/**
 * Where training begins: A uniform within ±1/√inputs, B 0, so that the model is exactly the base. What PEFT does:
 * Kaiming's uniform distribution with a = √5, bound √(6 / ((1 + a²)·inputs)) (He et al., arXiv:1502.01852).
 * @returns A and B of every adapted matrix, by name.
 */
export function initialLora(
  config: ModelConfig,
  settings: LoraSettings,
  random: Random,
): Map<string, Float32Array> {
  const weights = new Map<string, Float32Array>();
  for (const { module, inputs, outputs } of adaptedMatrices(config, settings)) {
    const { a, b } = loraNames(module);
    const bound = 1 / Math.sqrt(inputs);
    const draw = () => bound * (2 * random.uniform() - 1);
    weights.set(a, Float32Array.from({ length: settings.rank * inputs }, draw));
    weights.set(b, new Float32Array(outputs * settings.rank));
  }
  return weights;
}

/** Numbers in A and B of all matrices. */
export function loraCount(config: ModelConfig, settings: LoraSettings): number {
  const matrices = adaptedMatrices(config, settings);
  return matrices.reduce((n, { inputs, outputs }) => n + settings.rank * (inputs + outputs), 0);
}

/**
 * What training has made of them, as an adapter is written and merged.
 * @throws InvariantError when the state lacks a part of it.
 */
export function trainedLora(
  config: ModelConfig,
  settings: LoraSettings,
  state: ReadonlyMap<string, Float32Array>,
): Map<string, LoraMatrix> {
  const { rank } = settings;
  const scale = loraScale(settings, rank);
  return new Map(
    adaptedMatrices(config, settings).map(({ module, inputs, outputs }) => {
      const names = loraNames(module);
      const [a, b] = [state.get(names.a), state.get(names.b)];
      assert(a && b, `the state has no adapter of ${module}`);
      return [module, { rank, inputs, outputs, scale, a, b }];
    }),
  );
}

const loraNames = (module: string) => ({
  a: `${module}.lora_A.weight`,
  b: `${module}.lora_B.weight`,
});

function adaptedMatrices(config: ModelConfig, settings: LoraSettings) {
  return [...weightShapes(config)].flatMap(([name, shape]) => {
    const module = name.replace(/\.weight$/, "");
    if (module === name || !isAdapted(module, settings)) return [];
    const [outputs, inputs] = shape as [number, number]; // a projection's
    return [{ module, inputs, outputs }];
  });
}

function isAdapted(module: string, { modules }: LoraSettings): boolean {
  return modules.some((each) => module.endsWith(`.${each}`));
}

/** Transformers run both ways: whole sequences packed, and step by step over a cache as serving does. */
import { servedWeights } from "../../src/engine/served-weights.ts";
import { encode } from "../../src/onnx/encode.ts";
import { Graph } from "../../src/onnx/graph.ts";
import type { Runtime, Session, Tensor } from "../../src/onnx/runtime/index.ts";
import { servingGraph } from "../../src/onnx/serving-graph.ts";
import {
  applyHead,
  type Head,
  packedForward,
  packedInputs,
  sharedWeights,
  type TransformerConfig,
  transformerWeights,
  wholeWeights,
} from "../../src/onnx/transformer.ts";
import { pack } from "../../src/train/batches.ts";

/** A weight's values by its name and number of elements. */
export type WeightValues = (name: string, count: number) => Float32Array;

export interface Model {
  readonly config: TransformerConfig;
  readonly head: Head;
  readonly values: WeightValues;
}

type Sequence = readonly number[];

/** The forward pass over whole sequences, `logits` or one scalar a token. */
export function packedGraph({ config, head }: Model): Graph {
  const g = new Graph();
  const weight = sharedWeights(g);
  const hidden = packedForward(g, config, wholeWeights(g, weight), packedInputs(g));
  g.output("result", applyHead(g, config, weight, head, hidden));
  return g;
}

/** For each sequence, its rows of the result: [tokens][vocabSize or 1]. */
export async function runPacked(
  runtime: Runtime,
  model: Model,
  sequences: readonly Sequence[],
  tokensPerRow: number,
): Promise<number[][][]> {
  const { session, dispose } = await load(runtime, packedGraph(model), model);
  const batch = pack(sequences, tokensPerRow);
  const shape = [batch.rows, tokensPerRow];
  const { result } = await session.evaluate({
    input_ids: runtime.tensor("int64", shape, batch.ids),
    position_ids: runtime.tensor("int64", shape, batch.positions),
    segment_ids: runtime.tensor("int64", shape, batch.segments),
  });
  dispose();
  const rows = split(Array.from(result!.data, Number), batch.rows * tokensPerRow);
  return sequences.map(({ length }, i) => rows.slice(batch.starts[i], batch.starts[i]! + length));
}

/** One step: what each row reads, in which slots; a slot's `length` counts the new tokens too. */
interface Step {
  readonly slots: readonly [first: number, count: number];
  /** [slot][token], equally many for each. */
  readonly tokens: readonly Sequence[];
  readonly lengths: readonly number[];
  /** For logits. */
  readonly temperature?: number;
}

/** The serving graph over slots of `contextTokens`, its caches bound in place. */
export class Server {
  readonly #runtime: Runtime;
  readonly #model: Model;
  readonly #session: Session;
  readonly #caches: readonly { input: string; output: string; tensor: Tensor }[];
  readonly dispose: () => void;

  private constructor(runtime: Runtime, model: Model, loaded: Loaded, slots: number) {
    const { layers, kvHeads, headDim, contextTokens } = model.config;
    this.#runtime = runtime;
    this.#model = model;
    this.#session = loaded.session;
    this.dispose = loaded.dispose;
    this.#caches = Array.from({ length: layers }, (_, layer) =>
      ["key", "value"].map((kind) => ({
        input: `past_${kind}_${layer}`,
        output: `present_${kind}_${layer}`,
        tensor: runtime.tensor("float32", [slots, kvHeads, contextTokens, headDim]),
      })),
    ).flat();
  }

  static async open(runtime: Runtime, model: Model, slots: number): Promise<Server> {
    const loaded = await load(runtime, servingGraph(model.config, model.head), model);
    return new Server(runtime, model, loaded, slots);
  }

  /** The outputs by name, each with one row for every new token of every slot. */
  async run(step: Step): Promise<Record<string, number[][]>> {
    const names = this.#model.head === "logits" ? ["logits", "log_sum_exp", "cdf"] : ["scores"];
    const rows = step.tokens.flat().length;
    const caches = this.#caches.map(({ input, output, tensor }) => {
      const [, ...sizes] = tensor.shape;
      const perSlot = sizes.reduce((product, n) => product * n, 1);
      const view = tensor.view([step.slots[1], ...sizes], step.slots[0] * perSlot);
      return { input, output, view };
    });
    const binding = this.#session.bind({
      inputs: {
        ...this.#feeds(step, rows),
        ...Object.fromEntries(caches.map(({ input, view }) => [input, view])),
      },
      outputs: {
        ...Object.fromEntries(names.map((name) => [name, "cpu"] as const)),
        ...Object.fromEntries(caches.map(({ output, view }) => [output, view])),
      },
    });
    await this.#session.run(binding);
    const results = names.map((name) => {
      const data = Array.from(binding.output(name).data, Number);
      return [name, split(data, rows)] as const;
    });
    binding.dispose();
    return Object.fromEntries(results);
  }

  #feeds({ tokens, lengths, temperature = 1 }: Step, rows: number): Record<string, Tensor> {
    const ids = BigInt64Array.from(tokens.flat(), BigInt);
    const each = BigInt64Array.from({ length: rows }, (_, i) => BigInt(i));
    const runtime = this.#runtime;
    return {
      input_ids: runtime.tensor("int64", [tokens.length, tokens[0]!.length], ids),
      lengths: runtime.tensor(
        "int32",
        [lengths.length],
        Int32Array.from(lengths, (n) => n - 1),
      ),
      total: runtime.tensor("int32", [], Int32Array.of(Math.max(...lengths))),
      rows: runtime.tensor("int64", [rows], each),
      ...(this.#model.head === "logits" && {
        temperature: runtime.tensor("float32", [rows, 1], new Float32Array(rows).fill(temperature)),
      }),
    };
  }
}

interface Loaded {
  readonly session: Session;
  readonly dispose: () => void;
}

/** A session that is given every weight the graph declares. */
async function load(runtime: Runtime, g: Graph, model: Model): Promise<Loaded> {
  const shapes = transformerWeights(model.config, model.head);
  const weight = (name: string) => {
    const shape = shapes.get(name)!;
    const count = shape.reduce((product, n) => product * n, 1);
    return { shape, data: model.values(name, count) };
  };
  const weights = await servedWeights(runtime, g, { revision: "", weight }, null);
  const session = await runtime.session(encode(g), {
    threads: 1,
    spinning: false,
    initializers: weights,
  });
  return {
    session,
    dispose: () => {
      session.dispose();
      for (const tensor of weights.values()) tensor.dispose();
    },
  };
}

function split(data: readonly number[], rows: number): number[][] {
  const width = data.length / rows;
  return Array.from({ length: rows }, (_, i) => data.slice(i * width, (i + 1) * width));
}

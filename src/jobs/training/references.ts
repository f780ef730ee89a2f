/**
 * What the model that training starts from says of answers, computed once: in the same passes as the first epoch, and
 * by the same graph up to the loss, so that a policy which has learned nothing yet has log-ratios of exactly 0.
 */
import { readFile } from "node:fs/promises";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { writeFileAtomically } from "../../base/atomic-file.ts";
import { isMissing } from "../../base/json-file.ts";
import { encode } from "../../onnx/encode.ts";
import type { Runtime } from "../../onnx/runtime/index.ts";
import type { TransformerConfig } from "../../onnx/transformer.ts";
import { feedsOf, sessionSettings, type TrainingState } from "../../train/trainer.ts";
import { answerGraph } from "../../train/training-graph.ts";
import type { Example, Material, References } from "./define-material.ts";
import { rowOf } from "./schedule-examples.ts";
import { nobody } from "./teacher.ts";

export interface ReferenceOptions {
  readonly config: TransformerConfig;
  readonly weights: TrainingState;
  readonly material: Material;
  readonly threads?: number | undefined;
  readonly onProgress: (done: number, total: number) => void;
}

/** By example, in the order of its answers. */
export type ReferenceTable = Map<Example, readonly number[]>;

/** @param passes each example once. */
export async function computeReferences(
  runtime: Runtime,
  passes: readonly (readonly Example[])[],
  { config, weights, material, threads, onProgress }: ReferenceOptions,
): Promise<ReferenceTable> {
  const { graph, weights: named } = answerGraph(config);
  const session = await runtime.session(encode(graph), sessionSettings(threads));
  const tensors = named.map(
    ({ name, shape }) => [name, runtime.tensor("float32", shape, weights.get(name)!)] as const,
  );
  const table: ReferenceTable = new Map();
  const wanted = new Set(session.inputs.map(({ name }) => name));
  for (const [i, examples] of passes.entries()) {
    const zeros: References = ({ answers }) => answers.map(() => 0);
    const data = material.step(examples, rowOf(examples), zeros, nobody);
    const feeds = feedsOf(runtime, data);
    const inputs = [...feeds].filter(([name]) => wanted.has(name));
    const { logps } = await session.evaluate(Object.fromEntries([...inputs, ...tensors]));
    spread(examples, [...logps!.data].map(Number), table, data.int64["mismatched"] !== undefined);
    for (const tensor of feeds.values()) tensor.dispose();
    onProgress(i + 1, passes.length);
  }
  for (const [, tensor] of tensors) tensor.dispose();
  session.dispose();
  return table;
}

/** Where there are mismatched answers, they all follow all others. */
function spread(
  examples: readonly Example[],
  logps: readonly number[],
  table: ReferenceTable,
  hasMismatched: boolean,
): void {
  let first = 0;
  examples.forEach((example, i) => {
    const { length } = example.answers;
    table.set(
      example,
      hasMismatched ? [logps[i]!, logps[examples.length + i]!] : logps.slice(first, first + length),
    );
    first += length;
  });
}

const Stored = Type.Array(Type.Union([Type.Null(), Type.Array(Type.Number())]));

/** Numbers in JSON are the doubles that they were, so a table comes back exactly. */
export async function saveReferences(
  path: string,
  examples: readonly Example[],
  table: ReferenceTable,
): Promise<void> {
  const stored: Static<typeof Stored> = examples.map((each) => [...(table.get(each) ?? [])]);
  await writeFileAtomically(path, [JSON.stringify(stored)]);
}

/** @returns null where there is no file, or not one of these examples. */
export async function loadReferences(
  path: string,
  examples: readonly Example[],
): Promise<ReferenceTable | null> {
  const stored: unknown = JSON.parse(await readOrNull(path));
  if (!Value.Check(Stored, stored) || stored.length !== examples.length) return null;
  return new Map(examples.map((example, i) => [example, stored[i] ?? []]));
}

async function readOrNull(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return "null";
    throw error;
  }
}

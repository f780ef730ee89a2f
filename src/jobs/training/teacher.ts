/**
 * What another model finds likely in each place of an answer, computed once, as the references are. Only the likeliest
 * tokens are kept: `kept` ids and log-probabilities a place, 8 bytes each.
 */
import { existsSync } from "node:fs";
import { assert } from "../../base/assert.ts";
import { GatewayError } from "../../base/errors.ts";
import {
  readSafetensors,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "../../checkpoints/safetensors.ts";
import { encode } from "../../onnx/encode.ts";
import type { Runtime } from "../../onnx/runtime/index.ts";
import { feedsOf, sessionSettings } from "../../train/trainer.ts";
import { lawGraph } from "../../train/training-graph.ts";
import type { Base } from "./base.ts";
import type { Example, Material, Teacher } from "./define-material.ts";
import { rowOf } from "./schedule-examples.ts";

/** Places one after another, in the order of the examples and their learned tokens; `kept` numbers each. */
export interface Laws {
  readonly kept: number;
  readonly ids: Int32Array;
  readonly logps: Float32Array;
}

export interface TeacherOptions {
  readonly base: Base;
  readonly material: Material;
  /** Likely tokens of a place, at most. */
  readonly tokens: number;
  readonly threads?: number | undefined;
  readonly onProgress: (done: number, total: number) => void;
}

/** @throws GatewayError invalid_request for a teacher that spells tokens otherwise, or reads less than is to be learned */
export function checkTeacher(student: Base, teacher: Base, contextTokens: number): void {
  const wrong = (problem: string) =>
    new GatewayError("invalid_request", { param: "--teacher", problem });
  const [ours, theirs] = [student.format.tokenizer, teacher.format.tokenizer];
  if (!ours.hasTokensOf(theirs)) {
    const sizes = `${theirs.vocabSize} and ${ours.vocabSize} tokens`;
    const problem = `the teacher in ${teacher.folder} has other tokens than the base (${sizes}); its law of a token says nothing of ours. Name a teacher with the base's tokenizer`;
    throw wrong(problem);
  }
  if (teacher.config.vocabSize !== student.config.vocabSize) {
    const sizes = `${teacher.config.vocabSize} and ${student.config.vocabSize}`;
    throw wrong(`teacher and base have logits of ${sizes} tokens, and must have the same`);
  }
  if (teacher.config.contextTokens >= contextTokens) return;
  const limit = teacher.config.contextTokens;
  throw wrong(
    `the teacher reads ${limit} tokens and the rows may have ${contextTokens}; lower --context-tokens to ${limit}`,
  );
}

/** @param passes each example once. @param examples all of them, in the order in which the laws are kept. */
export async function computeLaws(
  runtime: Runtime,
  passes: readonly (readonly Example[])[],
  examples: readonly Example[],
  { base, material, tokens, threads, onProgress }: TeacherOptions,
): Promise<Laws> {
  const { graph, weights: named } = lawGraph(base.config);
  const session = await runtime.session(encode(graph), sessionSettings(threads));
  const weights = base.weights();
  const tensors = named.map(
    ({ name, shape }) => [name, runtime.tensor("float32", shape, weights.get(name)!)] as const,
  );
  const laws = emptyLaws(examples, Math.min(tokens, base.config.vocabSize));
  const starts = startsOf(examples);
  for (const [i, some] of passes.entries()) {
    const data = material.step(some, rowOf(some), () => [], nobody);
    const feeds = feedsOf(runtime, data);
    const wanted = new Set(session.inputs.map(({ name }) => name));
    const inputs = [...feeds].filter(([name]) => wanted.has(name));
    const { log_probabilities: all } = await session.evaluate(
      Object.fromEntries([...inputs, ...tensors]),
    );
    assert(all?.data instanceof Float32Array, "log-probabilities are float32");
    keep(laws, all.data, { vocabSize: base.config.vocabSize, examples: some, starts });
    for (const tensor of feeds.values()) tensor.dispose();
    onProgress(i + 1, passes.length);
  }
  for (const [, tensor] of tensors) tensor.dispose();
  session.dispose();
  return laws;
}

/** The laws of each example's places. */
export function teacherOf(laws: Laws, examples: readonly Example[]): Teacher {
  const starts = startsOf(examples);
  const { kept, ids, logps } = laws;
  return (example) => {
    const first = starts.get(example);
    assert(first !== undefined, "the teacher was not asked about this example");
    return Array.from({ length: example.scoredTokens }, (_, place) => {
      const from = (first + place) * kept;
      return Array.from({ length: kept }, (_, k) => ({
        id: ids[from + k]!,
        logp: logps[from + k]!,
      }));
    });
  };
}

/** Where nobody was asked: a token that is certain, for graphs that look at no law. */
export const nobody: Teacher = ({ scoredTokens }) =>
  Array.from({ length: scoredTokens }, () => [{ id: 0, logp: 0 }]);

const IDS = "ids";
const LOGPS = "logps";

export async function saveLaws(path: string, { kept, ids, logps }: Laws): Promise<void> {
  const shape = [ids.length / kept, kept];
  await writeSafetensors(
    path,
    new Map<string, StoredTensor>([
      [IDS, { dtype: "I32", shape, data: new Uint8Array(ids.buffer) }],
      [LOGPS, { dtype: "F32", shape, data: new Uint8Array(logps.buffer) }],
    ]),
  );
}

/** @returns null where there is no file, or not one of these examples. */
export async function loadLaws(path: string, examples: readonly Example[]): Promise<Laws | null> {
  if (!existsSync(path)) return null;
  const tensors = await readSafetensors(path);
  const [ids, logps] = [tensors.get(IDS), tensors.get(LOGPS)];
  if (!ids || !logps || ids.shape[0] !== placesOf(examples)) return null;
  return {
    kept: ids.shape[1]!,
    ids: new Int32Array(ids.data.slice().buffer),
    logps: toFloat32(logps),
  };
}

const placesOf = (examples: readonly Example[]) =>
  examples.reduce((sum, { scoredTokens }) => sum + scoredTokens, 0);

function emptyLaws(examples: readonly Example[], kept: number): Laws {
  const size = placesOf(examples) * kept;
  return { kept, ids: new Int32Array(size), logps: new Float32Array(size) };
}

/** The number of places before each example's. */
function startsOf(examples: readonly Example[]): ReadonlyMap<Example, number> {
  let places = 0;
  return new Map(
    examples.map((example) => {
      const start = places;
      places += example.scoredTokens;
      return [example, start];
    }),
  );
}

interface Read {
  readonly vocabSize: number;
  readonly examples: readonly Example[];
  readonly starts: ReadonlyMap<Example, number>;
}

/** @param all [places of the examples, vocabulary] log-probabilities. */
function keep(laws: Laws, all: Float32Array, { vocabSize, examples, starts }: Read): void {
  let row = 0;
  for (const example of examples) {
    for (let place = 0; place < example.scoredTokens; place++) {
      const from = (starts.get(example)! + place) * laws.kept;
      const found = {
        ids: laws.ids.subarray(from, from + laws.kept),
        logps: laws.logps.subarray(from, from + laws.kept),
      };
      likeliest(all.subarray(row * vocabSize, (row + 1) * vocabSize), found);
      row++;
    }
  }
}

/** Fills in the largest numbers and where they stand, in descending order; of equal ones the first. */
export function likeliest(
  row: Float32Array,
  { ids, logps }: { readonly ids: Int32Array; readonly logps: Float32Array },
): void {
  const kept = ids.length;
  let filled = 0;
  for (let id = 0; id < row.length; id++) {
    const logp = row[id]!;
    if (filled === kept && logp <= logps[kept - 1]!) continue;
    let at = filled < kept ? filled++ : kept - 1;
    for (; at > 0 && logps[at - 1]! < logp; at--) {
      ids[at] = ids[at - 1]!;
      logps[at] = logps[at - 1]!;
    }
    ids[at] = id;
    logps[at] = logp;
  }
}

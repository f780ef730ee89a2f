/**
 * What a run's head takes and gives for each row, and how that reaches the sampler: from ordinary memory all of it,
 * from a device the tokens that it drew, and of the logits only the rows that somebody asks for.
 */
import type { OutputTarget, Runtime, Tensor } from "../onnx/runtime/index.ts";
import type { Device } from "./device.ts";
import { runningSums } from "./running-sums.ts";
import type { LogitsRow, StepRow } from "./sampler.ts";
import type { BoundRun } from "./serving-model.ts";

export interface HeadRow {
  /** 0 is greedy. */
  readonly temperature: number;
  /** What the token is drawn with, should the graph draw it. */
  readonly uniform: number;
  /** The drawn token does not suffice. */
  readonly wantsLogits: boolean;
}

interface HeadViews {
  readonly inputs: Record<string, Tensor>;
  readonly outputs: Record<string, OutputTarget>;
}

export interface StepHead {
  /** Tensors for the first n rows, which the caller disposes; kinds of memory need no disposal. */
  views(n: number): HeadViews;
  fill(i: number, row: HeadRow): void;
  /** After a run: what it gave for some of its rows, by position; valid until the next one. */
  take(bound: BoundRun, rows: ReadonlyMap<number, HeadRow>): Promise<Map<number, StepRow>>;
  dispose(): void;
}

export class HostHead implements StepHead {
  readonly #vocabSize: number;
  readonly #temperature: Tensor<"float32">;
  readonly #out;

  constructor(runtime: Runtime, vocabSize: number, rowsMax: number) {
    this.#vocabSize = vocabSize;
    this.#temperature = runtime.tensor("float32", [rowsMax, 1]);
    this.#out = {
      logits: runtime.tensor("float32", [rowsMax, vocabSize]),
      log_sum_exp: runtime.tensor("float32", [rowsMax]),
      cdf: runtime.tensor("float32", [rowsMax, vocabSize]),
    };
  }

  views(n: number): HeadViews {
    return {
      inputs: firstRows({ temperature: this.#temperature }, n),
      outputs: firstRows(this.#out, n),
    };
  }

  fill(i: number, { temperature }: HeadRow): void {
    this.#temperature.data[i] = temperature || 1; // greedy rows read no cdf
  }

  async take(_bound: BoundRun, rows: ReadonlyMap<number, HeadRow>): Promise<Map<number, StepRow>> {
    const { logits, log_sum_exp: logSumExp, cdf } = this.#out;
    const part = (tensor: Tensor<"float32">, at: number) =>
      tensor.data.subarray(at * this.#vocabSize, (at + 1) * this.#vocabSize);
    const whole = (at: number): LogitsRow => ({
      logits: part(logits, at),
      logSumExp: logSumExp.data[at]!,
      cdf: part(cdf, at),
    });
    return new Map([...rows.keys()].map((at) => [at, whole(at)]));
  }

  dispose(): void {
    for (const tensor of [this.#temperature, ...Object.values(this.#out)]) tensor.dispose();
  }
}

export class DeviceHead implements StepHead {
  readonly #device: Device;
  readonly #in;
  readonly #out;

  constructor(device: Device, rowsMax: number) {
    const { runtime } = device;
    this.#device = device;
    this.#in = {
      temperature: runtime.tensor("float32", [rowsMax, 1]),
      uniform: runtime.tensor("float64", [rowsMax, 1]),
    };
    this.#out = {
      log_sum_exp: runtime.tensor("float32", [rowsMax]),
      token: runtime.tensor("int32", [rowsMax]),
      logprob: runtime.tensor("float32", [rowsMax]),
    };
  }

  views(n: number): HeadViews {
    return {
      inputs: firstRows(this.#in, n),
      outputs: { ...firstRows(this.#out, n), logits: "device" as const },
    };
  }

  fill(i: number, { temperature, uniform }: HeadRow): void {
    this.#in.temperature.data[i] = temperature;
    this.#in.uniform.data[i] = uniform;
  }

  /** Sums that are not finite are for the sampler to judge: it gets those rows whole. */
  async take(bound: BoundRun, rows: ReadonlyMap<number, HeadRow>): Promise<Map<number, StepRow>> {
    const { log_sum_exp: sums, token, logprob } = this.#out;
    const asked = [...rows]
      .filter(([at, { wantsLogits }]) => wantsLogits || !Number.isFinite(sums.data[at]))
      .map(([at]) => at);
    const fetched = asked.length ? await this.#device.rows(bound.output("logits"), asked) : [];
    const whole = new Map(asked.map((at, k) => [at, fetched[k]!]));
    const found = (at: number, temperature: number): StepRow => {
      const logits = whole.get(at);
      if (!logits) return { drawn: { id: token.data[at]!, logprob: logprob.data[at]! } };
      return new FetchedRow(logits, sums.data[at]!, temperature || 1);
    };
    return new Map([...rows].map(([at, { temperature }]) => [at, found(at, temperature)]));
  }

  dispose(): void {
    for (const tensor of [...Object.values(this.#in), ...Object.values(this.#out)])
      tensor.dispose();
  }
}

/** The running sums are made when they are first asked for: many draws of one row share them. */
class FetchedRow implements LogitsRow {
  readonly logits: Float32Array;
  readonly logSumExp: number;
  readonly #temperature: number;
  #cdf: Float32Array | null = null;

  constructor(logits: Float32Array, logSumExp: number, temperature: number) {
    this.logits = logits;
    this.logSumExp = logSumExp;
    this.#temperature = temperature;
  }

  get cdf(): Float32Array {
    this.#cdf ??= runningSums(this.logits, this.#temperature);
    return this.#cdf;
  }
}

function firstRows(tensors: Record<string, Tensor>, n: number): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [
      name,
      tensor.view([n, ...tensor.shape.slice(1)], 0),
    ]),
  );
}

/** Of what was bound, the tensors; past and present may be the same. */
export function disposeTensors(bound: readonly OutputTarget[]): void {
  for (const each of bound) if (typeof each !== "string" && !each.disposed) each.dispose();
}

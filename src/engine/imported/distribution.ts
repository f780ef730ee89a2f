/** From a foreign model's logits to what sampling reads, by a small graph of our own. */
import { encode } from "../../onnx/encode.ts";
import type { Runtime, Session, SessionOptions } from "../../onnx/runtime/index.ts";
import { distributionGraph } from "../../onnx/serving-graph.ts";
import type { LogitsRow } from "../sampler.ts";
import type { Turnstile } from "../turnstile.ts";
import type { RawLogits } from "./decoder-session.ts";
import type { CacheType } from "./layout.ts";

export interface WantedRow {
  /** Of the logits. */
  readonly row: number;
  /** 0 is greedy, which reads no cumulative distribution. */
  readonly temperature: number;
}

export class Distribution {
  /** Milliseconds spent inside ONNX Runtime so far. */
  runMs = 0;
  readonly #runtime: Runtime;
  readonly #session: Session;
  readonly #turnstile: Turnstile;
  readonly #vocabSize: number;

  static async open(
    { runtime, turnstile }: { runtime: Runtime; turnstile: Turnstile },
    { vocabSize, logitsType }: { vocabSize: number; logitsType: CacheType },
    options: SessionOptions,
  ): Promise<Distribution> {
    const session = await runtime.session(
      encode(distributionGraph(vocabSize, logitsType)),
      options,
    );
    return new Distribution({ runtime, turnstile, session, vocabSize });
  }

  private constructor(parts: {
    runtime: Runtime;
    turnstile: Turnstile;
    session: Session;
    vocabSize: number;
  }) {
    this.#runtime = parts.runtime;
    this.#turnstile = parts.turnstile;
    this.#session = parts.session;
    this.#vocabSize = parts.vocabSize;
  }

  /** @returns one row for each wanted one, in memory of its own. */
  async rows({ tensor }: RawLogits, wanted: readonly WantedRow[]): Promise<LogitsRow[]> {
    const runtime = this.#runtime;
    const [n, vocab] = [wanted.length, this.#vocabSize];
    const inputs = {
      raw_logits: tensor,
      rows: runtime.tensor(
        "int64",
        [n],
        BigInt64Array.from(wanted, ({ row }) => BigInt(row)),
      ),
      temperature: runtime.tensor(
        "float32",
        [n, 1],
        Float32Array.from(wanted, ({ temperature }) => temperature || 1),
      ),
    };
    const outputs = {
      logits: runtime.tensor("float32", [n, vocab]),
      log_sum_exp: runtime.tensor("float32", [n]),
      cdf: runtime.tensor("float32", [n, vocab]),
    };
    const { logits, log_sum_exp: logSumExp, cdf } = outputs;
    const arrays = { logits: logits.data, logSumExp: logSumExp.data, cdf: cdf.data };
    try {
      const binding = this.#session.bind({ inputs, outputs });
      try {
        this.runMs += await this.#turnstile.through(() => this.#session.run(binding));
      } finally {
        binding.dispose();
      }
    } finally {
      const { rows, temperature } = inputs;
      for (const each of [rows, temperature, ...Object.values(outputs)]) each.dispose();
    }
    return wanted.map((_, i) => ({
      logits: arrays.logits.subarray(i * vocab, (i + 1) * vocab),
      logSumExp: arrays.logSumExp[i]!,
      cdf: arrays.cdf.subarray(i * vocab, (i + 1) * vocab),
    }));
  }

  dispose(): void {
    this.#session.dispose();
  }
}

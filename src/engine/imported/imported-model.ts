/** A decoder that somebody else exported, behind the same faces as ours: loaded, checked, and tried before it serves. */
import { assert } from "../../base/assert.ts";
import { GatewayError } from "../../base/errors.ts";
import type { Provider, Runtime, Session } from "../../onnx/runtime/index.ts";
import type { NamedAdapter } from "../adapter-bank.ts";
import type { BatchesOptions } from "../batches.ts";
import type { PolicyModel } from "../policy-model.ts";
import type { Turnstile } from "../turnstile.ts";
import { DecoderSession } from "./decoder-session.ts";
import { Distribution } from "./distribution.ts";
import { ImportedBatches, type ImportedParts, runMsOf } from "./imported-batches.ts";
import { ImportedRunner } from "./imported-runner.ts";
import { type DecoderLayout, decoderLayout } from "./layout.ts";
import { findCompany } from "./probe.ts";

export interface ImportedSource {
  /** Of the model's file; ONNX Runtime finds its external data beside it. */
  readonly path: string;
  readonly revision: string;
  readonly vocabSize: number;
  readonly contextTokens: number;
  /** What the configuration says; null: nothing. */
  readonly layers: number | null;
}

export interface ImportOptions {
  readonly provider: Provider;
  readonly threads?: number;
  readonly turnstile: Turnstile;
}

export class ImportedModel implements PolicyModel {
  readonly config: PolicyModel["config"];
  readonly revision: string;
  readonly head = "logits";
  readonly sharesPrefixes = false;
  readonly #session: Session;
  readonly #parts: ImportedParts;
  readonly #turnstile: Turnstile;

  private constructor(
    source: ImportedSource,
    session: Session,
    parts: ImportedParts,
    turnstile: Turnstile,
  ) {
    this.config = { vocabSize: source.vocabSize, contextTokens: source.contextTokens };
    this.revision = source.revision;
    this.#session = session;
    this.#parts = parts;
    this.#turnstile = turnstile;
  }

  /** @throws GatewayError checkpoint_invalid for a file that does not load, or is not such a decoder. */
  static async load(
    runtime: Runtime,
    source: ImportedSource,
    { provider, threads, turnstile }: ImportOptions,
  ): Promise<ImportedModel> {
    const options = { provider, ...(threads ? { threads } : {}) };
    const session = await runtime.session(source.path, options).catch((cause: unknown) => {
      throw explained(source.path, cause);
    });
    try {
      const layout = decoderLayout(source.path, session);
      refuseOtherSizes(source, layout);
      const { vocabSize } = source;
      const decoder = new DecoderSession({ runtime, session, layout, vocabSize, turnstile });
      const company = await findCompany({ runtime, layout, decoder, vocabSize }).catch(
        (cause: unknown) => {
          throw explained(source.path, cause);
        },
      );
      const shape = { vocabSize, logitsType: layout.logitsType };
      const distribution = await Distribution.open({ runtime, turnstile }, shape, options);
      const parts = { runtime, layout, decoder, distribution, company };
      return new ImportedModel(source, session, parts, turnstile);
    } catch (error) {
      session.dispose();
      throw error;
    }
  }

  get runMs(): number {
    return runMsOf(this.#parts);
  }

  async prepareAdapters(adapters: readonly NamedAdapter[]): Promise<() => Promise<void>> {
    assert(adapters.length === 0, "an imported model was given an adapter");
    return async () => undefined;
  }

  /** Rows of a run are bounded by memory alone. */
  createBatches({ bytesMax, drafter }: BatchesOptions): ImportedBatches {
    assert(drafter === null, "an imported model runs a token a step");
    return new ImportedBatches(this.#parts, bytesMax);
  }

  createPromptRunner(): ImportedRunner {
    return new ImportedRunner(this.#parts);
  }

  quiet(): Promise<void> {
    return this.#turnstile.quiet();
  }

  async dispose(): Promise<void> {
    this.#session.dispose();
    this.#parts.distribution.dispose();
  }
}

function refuseOtherSizes({ path, vocabSize, layers }: ImportedSource, layout: DecoderLayout) {
  const problem =
    layout.vocabSize !== null && layout.vocabSize !== vocabSize
      ? `its logits are of ${layout.vocabSize} tokens, and config.json has vocab_size ${vocabSize}`
      : layers !== null && layers !== layout.layers
        ? `it has the keys and values of ${layout.layers} layers, and config.json says ${layers}`
        : null;
  if (problem === null) return;
  const remedy = "Copy config.json and the ONNX files from the same revision of the model.";
  throw new GatewayError("checkpoint_invalid", { path, problem, remedy });
}

/** What ONNX Runtime says of a file is the file's fault until it serves. */
function explained(path: string, cause: unknown): unknown {
  if (!(cause instanceof GatewayError) || cause.code !== "runtime_failed") return cause;
  const remedy =
    "Copy the file again, with its data beside it, or serve another of policyOnnxFile's.";
  return new GatewayError(
    "checkpoint_invalid",
    { path, problem: cause.message, remedy },
    { cause },
  );
}

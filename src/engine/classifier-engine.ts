/**
 * Scores completions with a sequence classifier that somebody else exported as ONNX: a graph of token ids,
 * mask and token types without a cache. Completions that wait while others are computed go together into the
 * next run, padded on the right, so that a score may differ by rounding with what shares its run.
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { Classifier } from "../checkpoints/classifier.ts";
import { float32FromFloat16 } from "../checkpoints/float16.ts";
import type {
  Provider,
  Runtime,
  Session,
  Tensor,
  Value,
  ValueInfo,
} from "../onnx/runtime/index.ts";
import type { PrefixStats } from "./prefix-cache.ts";
import type { Turnstile } from "./turnstile.ts";
import type { ScoredGrowing, Scorer, ScoringSession } from "./types.ts";

export interface ClassifierOptions {
  readonly provider: Provider;
  readonly threads?: number;
  readonly turnstile: Turnstile;
  /** Token types of a prompt and of what follows it. */
  readonly types: readonly [number, number];
  /** Shortens what the model could read. */
  readonly contextTokens?: number | undefined;
}

/** Tokens of one run, padding included: beyond it a larger batch gains nothing on any device. */
const RUN_TOKENS_MAX = 8192;

type Feed = (batch: Batch) => bigint[];
/** Every input such a graph may have → its values, [batch, tokens]. */
const feeds: Readonly<Record<string, Feed>> = {
  input_ids: ({ items, width, padId }) =>
    items.flatMap(({ prompt, completion }) => padded([...prompt, ...completion], width, padId)),
  attention_mask: ({ items, width }) =>
    items.flatMap((item) =>
      padded(
        Array.from({ length: lengthOf(item) }, () => 1),
        width,
        0,
      ),
    ),
  token_type_ids: ({ items, width, types: [first, second] }) =>
    items.flatMap(({ prompt, completion }) =>
      padded([...prompt.map(() => first), ...completion.map(() => second)], width, 0),
    ),
  position_ids: ({ items, width }) =>
    items.flatMap(() => Array.from({ length: width }, (_, at) => BigInt(at))),
};

export class ClassifierEngine implements Scorer {
  readonly revision: string;
  readonly labels: number;
  readonly growsInPlace = false;
  readonly contextTokens: number;
  readonly #runtime: Runtime;
  readonly #session: Session;
  readonly #output: string;
  readonly #padId: number;
  readonly #options: ClassifierOptions;
  #waiting: Item[] = [];
  #running: Promise<void> | null = null;

  /** @throws GatewayError checkpoint_invalid for a file that does not load, or takes or gives something else. */
  static async load(
    runtime: Runtime,
    classifier: Classifier,
    options: ClassifierOptions,
  ): Promise<ClassifierEngine> {
    const { provider, threads } = options;
    const session = await runtime
      .session(classifier.file, { provider, ...(threads ? { threads } : {}) })
      .catch((cause: unknown) => {
        if (cause instanceof GatewayError && cause.code === "runtime_failed")
          throw invalid(classifier, cause.message, "Download or export it again.", cause);
        throw cause;
      });
    const problem = misfit(session, classifier);
    if (problem === null) return new ClassifierEngine(runtime, session, classifier, options);
    session.dispose();
    throw invalid(classifier, problem, "Export it for the task text-classification.");
  }

  private constructor(
    runtime: Runtime,
    session: Session,
    classifier: Classifier,
    options: ClassifierOptions,
  ) {
    this.revision = classifier.revision;
    this.labels = classifier.labels.length;
    this.contextTokens = Math.min(options.contextTokens ?? Infinity, classifier.contextTokens);
    this.#runtime = runtime;
    this.#session = session;
    this.#output = logitsOf(session)!.name;
    this.#padId = classifier.padId;
    this.#options = options;
  }

  /** There is no cache: prompts are computed anew with each completion. */
  get stats(): { readonly prefixes: PrefixStats } {
    return { prefixes: { bytes: 0, asked: 0, found: 0 } };
  }

  open(prompt: readonly number[], signal: AbortSignal): ScoringSession {
    this.#refuseTooLong(prompt.length + 1);
    const logits = (completion: readonly number[]) => this.#enqueue({ prompt, completion, signal });
    return {
      score: async (completion, label = 0) => (await logits(completion))[label]!,
      scores: async (completion, at) => {
        assert(
          at.every((token) => token === completion.length - 1),
          "a sequence classifier scores at the end only",
        );
        const scores = at.length > 0 ? await logits(completion) : null;
        return at.map(() => scores!);
      },
      grow: async () => growing(prompt, logits),
      close: () => {},
    };
  }

  async dispose(): Promise<void> {
    await this.#running;
    this.#session.dispose();
  }

  #enqueue(request: ItemRequest): Promise<Float32Array> {
    this.#refuseTooLong(request.prompt.length + request.completion.length);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...request, resolve, reject });
      this.#running ??= this.#drain().finally(() => {
        this.#running = null;
      });
    });
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const items = this.#take();
      if (items.length === 0) continue;
      try {
        const rows = await this.#run(items);
        for (const [i, { resolve }] of items.entries()) resolve(rows[i]!);
      } catch (problem) {
        for (const { reject } of items) reject(problem); // told to everybody who asked
      }
    }
  }

  /** The next ones in order of arrival, as many as a run takes; the aborted are told so. */
  #take(): Item[] {
    const items: Item[] = [];
    let width = 0;
    while (this.#waiting.length > 0) {
      const next = this.#waiting[0]!;
      const widest = Math.max(width, lengthOf(next));
      if (items.length > 0 && widest * (items.length + 1) > RUN_TOKENS_MAX) break;
      this.#waiting.shift();
      if (next.signal.aborted) next.reject(next.signal.reason);
      else {
        items.push(next);
        width = widest;
      }
    }
    return items;
  }

  /** [items][labels] */
  async #run(items: readonly Item[]): Promise<Float32Array[]> {
    const width = Math.max(...items.map(lengthOf));
    const batch = { items, width, padId: this.#padId, types: this.#options.types };
    const inputs = Object.fromEntries(
      this.#session.inputs.map(({ name }): [string, Tensor] => {
        const data = BigInt64Array.from(feeds[name]!(batch));
        return [name, this.#runtime.tensor("int64", [items.length, width], data)];
      }),
    );
    try {
      let rows: Float32Array[] = [];
      await this.#options.turnstile.through(async () => {
        const values = await this.#session.evaluate(inputs, [this.#output]);
        rows = this.#rowsOf(values[this.#output]!, items.length);
      });
      return rows;
    } finally {
      for (const tensor of Object.values(inputs)) tensor.dispose();
    }
  }

  #rowsOf({ dtype, shape, data }: Value, batch: number): Float32Array[] {
    const { labels } = this;
    if (shape.join() !== `${batch},${labels}`) {
      const problem = `the classifier gives [${shape.join()}] for ${batch} texts and ${labels} labels`;
      throw new GatewayError("engine_failed", { problem });
    }
    const values =
      dtype === "float16" ? float32FromFloat16(data as Uint16Array) : (data as Float32Array); // `misfit` has checked
    return Array.from({ length: batch }, (_, i) => values.slice(i * labels, (i + 1) * labels));
  }

  #refuseTooLong(tokens: number): void {
    if (tokens <= this.contextTokens) return;
    throw new GatewayError("prompt_too_long", { tokens, limit: this.contextTokens });
  }
}

/** There is no cache to grow in: each alternative is read from the prompt on. */
function growing(
  prompt: readonly number[],
  logits: (completion: readonly number[]) => Promise<Float32Array>,
): ScoredGrowing {
  const ids = [...prompt];
  let alternatives: readonly number[] = [];
  return {
    ids,
    async branch(next, tails = []) {
      const appended = ids.slice(prompt.length);
      const outputs = await Promise.all(
        next.map((id, i) => logits([...appended, id, ...(tails[i] ?? [])])),
      );
      alternatives = next;
      return outputs;
    },
    accept(index) {
      const id = alternatives[index];
      assert(id !== undefined, `there is no alternative ${index} of ${alternatives.length}`);
      ids.push(id);
      alternatives = [];
    },
    close: () => {},
  };
}

interface ItemRequest {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
  readonly signal: AbortSignal;
}

interface Item extends ItemRequest {
  readonly resolve: (scores: Float32Array) => void;
  readonly reject: (reason: unknown) => void;
}

interface Batch {
  readonly items: readonly ItemRequest[];
  readonly width: number;
  readonly padId: number;
  readonly types: readonly [number, number];
}

const lengthOf = ({ prompt, completion }: ItemRequest) => prompt.length + completion.length;

const padded = (values: readonly number[], width: number, filler: number) =>
  Array.from({ length: width }, (_, at) => BigInt(values[at] ?? filler));

/** The output of that name, or the only one. */
function logitsOf({ outputs }: Pick<Session, "outputs">): ValueInfo | undefined {
  return (
    outputs.find(({ name }) => name === "logits") ?? (outputs.length === 1 ? outputs[0] : undefined)
  );
}

/** What keeps the file from being a classifier of these labels; null when nothing does. */
function misfit({ inputs, outputs }: Session, { labels }: Classifier): string | null {
  const stray = inputs.filter(({ name, dtype }) => !feeds[name] || dtype !== "int64");
  if (stray.length > 0) {
    const names = stray.map(({ name, dtype }) => `${name} (${dtype})`).join(", ");
    return `it takes ${names}; known are ${Object.keys(feeds).join(", ")}, all int64`;
  }
  if (!inputs.some(({ name }) => name === "input_ids")) return "it takes no input_ids";
  const output = logitsOf({ outputs });
  if (!output) return `it gives ${outputs.map(({ name }) => name).join(", ")} and no logits`;
  if (output.dtype !== "float32" && output.dtype !== "float16") {
    return `its logits are ${output.dtype}; float32 and float16 are read`;
  }
  const width = output.shape[1];
  if (output.shape.length !== 2)
    return `its logits are [${output.shape.join()}], not [batch, labels]`;
  return typeof width === "number" && width !== labels.length
    ? `it gives ${width} logits and config.json names ${labels.length} labels`
    : null;
}

function invalid(
  { file: path }: Classifier,
  problem: string,
  remedy: string,
  cause?: unknown,
): GatewayError {
  return new GatewayError("checkpoint_invalid", { path, problem, remedy }, { cause });
}

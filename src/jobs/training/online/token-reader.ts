/** What a model says of given answers, token by token: log-probabilities, and a value head's expectations. */
import { encode } from "../../../onnx/encode.ts";
import type { Runtime, Session, Tensor } from "../../../onnx/runtime/index.ts";
import type { TransformerConfig } from "../../../onnx/transformer.ts";
import { supervisedStep } from "../../../train/batches.ts";
import { feedsOf, sessionSettings } from "../../../train/trainer.ts";
import { type Trained, tokenGraph } from "../../../train/training-graph.ts";
import type { PromptedAnswer } from "../define-material.ts";
import { cutIntoPasses, rowOf } from "../schedule-examples.ts";

export interface TokenReaderOptions extends Pick<Trained, "lora" | "temperature"> {
  readonly config: TransformerConfig;
  /** Weights by name, as they are at each call; more than the model has do not matter. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly hasValues: boolean;
  /** Computed at once. */
  readonly passTokens: number;
  readonly threads: number | null;
}

/** Of an answer, [tokens] each; values only where they are asked for. */
export interface TokenNumbers {
  readonly logps: readonly number[];
  readonly values: readonly number[];
}

export class TokenReader {
  readonly #runtime: Runtime;
  readonly #session: Session;
  readonly #options: TokenReaderOptions;

  private constructor(runtime: Runtime, session: Session, options: TokenReaderOptions) {
    this.#runtime = runtime;
    this.#session = session;
    this.#options = options;
  }

  static async open(runtime: Runtime, options: TokenReaderOptions): Promise<TokenReader> {
    const { config, lora, temperature, hasValues, threads } = options;
    const { graph } = tokenGraph(config, { lora, temperature, hasValues });
    const session = await runtime.session(encode(graph), sessionSettings(threads ?? undefined));
    return new TokenReader(runtime, session, options);
  }

  /** In the order given. */
  async read(answers: readonly PromptedAnswer[]): Promise<TokenNumbers[]> {
    const examples = answers.map((answer, at) => ({
      at,
      place: { file: "", line: at },
      lengths: [answer.prompt.length + answer.completion.length - 1],
      scoredTokens: answer.completion.length,
      share: 1,
      answers: [answer],
    }));
    const found: TokenNumbers[] = [];
    for (const some of cutIntoPasses(examples, this.#options.passTokens)) {
      const numbers = await this.#pass(
        some.flatMap((each) => each.answers),
        rowOf(some),
      );
      some.forEach(({ at }, i) => {
        found[at] = numbers[i]!;
      });
    }
    return found;
  }

  dispose(): void {
    this.#session.dispose();
  }

  async #pass(answers: readonly PromptedAnswer[], rowTokens: number): Promise<TokenNumbers[]> {
    const feeds = feedsOf(this.#runtime, supervisedStep(answers, rowTokens));
    const all = new Map([...this.#options.tensors, ...feeds]);
    const inputs = this.#session.inputs.map(({ name }) => [name, all.get(name)!] as const);
    const outputs = await this.#session.evaluate(Object.fromEntries(inputs));
    for (const tensor of feeds.values()) tensor.dispose();
    const column = (name: string) => [...(outputs[name]?.data ?? [])].map(Number);
    const [logps, values] = [column("logps"), column("values")];
    let from = 0;
    return answers.map(({ completion: { length } }) => {
      const part = (numbers: readonly number[]) => numbers.slice(from, from + length);
      const own = { logps: part(logps), values: part(values) };
      from += length;
      return own;
    });
  }
}

/** One run of a foreign decoder: some new tokens for rows of one length, whose keys and values lie packed. */
import type { Runtime, Session, Tensor } from "../../onnx/runtime/index.ts";
import type { Turnstile } from "../turnstile.ts";
import type { DecoderLayout } from "./layout.ts";
import type { PackedCache } from "./packed-cache.ts";

interface SessionParts {
  readonly runtime: Runtime;
  readonly session: Session;
  readonly layout: DecoderLayout;
  readonly vocabSize: number;
  readonly turnstile: Turnstile;
}

/** The logits of a run's last `kept` tokens a row, [rows·kept, vocab], in the type that the model gives them. */
export interface RawLogits {
  readonly tensor: Tensor;
  readonly kept: number;
}

export class DecoderSession {
  /** Milliseconds spent inside ONNX Runtime so far. */
  runMs = 0;
  readonly #parts: SessionParts;

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  /**
   * Appends the tokens of every row to the cache.
   * @param tokens [rows][new], as many for every row.
   * @param kept logits of the last so many tokens are wanted; the model may give more.
   * @returns logits, to be disposed by the caller.
   */
  async run(
    tokens: readonly (readonly number[])[],
    cache: PackedCache,
    kept: number,
  ): Promise<RawLogits> {
    const { runtime, session, layout, vocabSize, turnstile } = this.#parts;
    const [rows, added] = [tokens.length, tokens[0]!.length];
    const given = layout.keptShape ? kept : added;
    const inputs = this.#inputs(tokens, cache.length, kept);
    const { past, present } = cache.bindings(added);
    const logits = runtime.tensor(layout.logitsType, [rows, given, vocabSize]);
    const named = (names: readonly string[], tensors: readonly Tensor[]) =>
      Object.fromEntries(names.map((name, i) => [name, tensors[i]!]));
    const owned = [...Object.values(inputs), ...past, ...present, logits];
    try {
      const binding = session.bind({
        inputs: { ...inputs, ...named(layout.pastNames, past) },
        outputs: { logits, ...named(layout.presentNames, present) },
      });
      try {
        this.runMs += await turnstile.through(() => session.run(binding));
      } finally {
        binding.dispose();
      }
      cache.advance(added);
      return { tensor: logits.view([rows * given, vocabSize], 0), kept: given };
    } finally {
      for (const tensor of owned) tensor.dispose();
    }
  }

  #inputs(tokens: readonly (readonly number[])[], past: number, kept: number) {
    const { runtime, layout } = this.#parts;
    const [rows, added] = [tokens.length, tokens[0]!.length];
    const whole = (shape: readonly number[], values: (i: number) => number) => {
      const count = shape.reduce((product, size) => product * size, 1);
      const data = BigInt64Array.from({ length: count }, (_, i) => BigInt(values(i)));
      return runtime.tensor("int64", shape, data);
    };
    const { takesPositions, keptShape } = layout;
    const flat = tokens.flat();
    const inputs: Record<string, Tensor> = {
      input_ids: whole([rows, added], (i) => flat[i]!),
      attention_mask: whole([rows, past + added], () => 1),
      ...(takesPositions && { position_ids: whole([rows, added], (i) => past + (i % added)) }),
      ...(keptShape && { num_logits_to_keep: whole(keptShape, () => kept) }),
    };
    return inputs;
  }
}

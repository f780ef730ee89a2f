/**
 * A `Generator` whose law is a table: every completion and its probability can be listed, so that
 * tests compare with exact numbers. It draws as the engine does: one step for all candidates, then
 * the next, candidate i from its own stream.
 */
import { setImmediate as nextTick } from "node:timers/promises";
import { GatewayError } from "../../src/base/errors.ts";
import { createRandom, splitSeed } from "../../src/base/random.ts";
import type {
  Completion,
  Distribution,
  FinishReason,
  Generator,
  Growing,
  SampledToken,
  Sampling,
  TokenLogprob,
} from "../../src/engine/types.ts";

/** Token id → probability of the next token, given the completion so far. Sums to 1. */
export type Law = (history: readonly number[]) => ReadonlyMap<number, number>;

export interface TabularOptions {
  readonly law: Law;
  readonly vocabSize: number;
  readonly contextTokens?: number;
  readonly revision?: string;
}

export function tabularGenerator(options: TabularOptions): Generator {
  const { law, vocabSize, contextTokens = 64, revision = "table-1" } = options;
  return {
    revision,
    contextTokens,
    vocabSize,
    async sample(prompt, n, sampling, { signal, onToken, onCompletion }) {
      signal.throwIfAborted();
      const room = contextTokens - prompt.length;
      if (room < 1) {
        throw new GatewayError("prompt_too_long", {
          tokens: prompt.length,
          limit: contextTokens - 1,
        });
      }
      const maxTokens = Math.min(room, sampling.maxTokens);
      const completions: Completion[] = [];
      const earlier = sampling.earlier ?? [];
      let live = Array.from({ length: n }, (_, index) => {
        const random = createRandom(splitSeed(sampling.seed, index));
        return { index, tokens: [] as SampledToken[], random };
      });
      while (live.length > 0) {
        await nextTick();
        signal.throwIfAborted();
        live = live.filter(({ index, tokens, random }) => {
          const token = draw(
            law([...earlier, ...tokens.map(({ id }) => id)]),
            sampling,
            random.uniform(),
          );
          tokens.push(token);
          const isStopped = onToken?.(index, token) === true || sampling.endTokens.has(token.id);
          if (!isStopped && tokens.length < maxTokens) return true;
          const finishReason: FinishReason = isStopped ? "stop" : "length";
          completions[index] = { index, tokens, finishReason };
          onCompletion?.(completions[index]);
          return false;
        });
      }
      return completions;
    },
    async grow(prompt, _tokensMax, { signal }) {
      const drawn: number[] = [];
      const after = (history: readonly number[]): Distribution => {
        const logits = new Float32Array(vocabSize).fill(Number.NEGATIVE_INFINITY);
        for (const [id, p] of law(history)) logits[id] = Math.log(p);
        return { logits, logSumExp: 0 };
      };
      const growing: Growing = {
        get ids() {
          return [...prompt, ...drawn];
        },
        async append(id) {
          await nextTick();
          signal.throwIfAborted();
          drawn.push(id);
          return after(drawn);
        },
        close: () => undefined,
      };
      return { growing, next: after([]) };
    },
    async score(_prompt, completion) {
      return Float32Array.from(completion, (id, t) =>
        Math.log(law(completion.slice(0, t)).get(id) ?? 0),
      );
    },
  };
}

export interface ListedCompletion {
  readonly tokens: readonly number[];
  readonly probability: number;
}

/** Every completion that the law can give, cut at `maxTokens`. */
export function listCompletions(
  law: Law,
  end: number,
  maxTokens: number,
  tokens: readonly number[] = [],
  probability = 1,
): ListedCompletion[] {
  if (tokens.length === maxTokens || tokens.at(-1) === end) return [{ tokens, probability }];
  return [...law(tokens)].flatMap(([id, p]) =>
    p === 0 ? [] : listCompletions(law, end, maxTokens, [...tokens, id], probability * p),
  );
}

function draw(row: ReadonlyMap<number, number>, sampling: Sampling, uniform: number): SampledToken {
  const ids = [...row.keys()];
  const weights = ids.map((id) => weight(row.get(id)!, sampling, sampling.logitBias.get(id) ?? 0));
  const total = weights.reduce((sum, w) => sum + w, 0);
  let reached = 0;
  const at = weights.findIndex((w) => {
    reached += w;
    return uniform * total < reached;
  });
  const tokenOf = (id: number) => ({ id, logprob: Math.log(row.get(id)!) });
  return { ...tokenOf(ids[at]!), top: mostLikely(ids.map(tokenOf), sampling.topLogprobs) };
}

function mostLikely(tokens: readonly TokenLogprob[], count: number): readonly TokenLogprob[] {
  return count === 0 ? [] : tokens.toSorted((a, b) => b.logprob - a.logprob).slice(0, count);
}

/** Greedy is the limit of a low temperature; 0.01 is near enough for a table of round numbers. */
function weight(p: number, { temperature }: Sampling, bias: number): number {
  return Math.exp((Math.log(p) + bias) / Math.max(temperature, 0.01));
}

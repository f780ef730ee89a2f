/** A `Scorer` whose reward is a function of all the tokens, and that remembers how they were cut. */
import { GatewayError } from "../../src/base/errors.ts";
import type { Scorer } from "../../src/engine/types.ts";

export interface ScorerCall {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
}

export interface CannedScorer extends Scorer {
  readonly calls: readonly ScorerCall[];
  /** All the tokens of every alternative of every branch. */
  readonly branches: readonly (readonly (readonly number[])[])[];
  openSessions(): number;
}

export function cannedScorer(
  score: (tokens: readonly number[]) => number,
  contextTokens = 512,
  growsInPlace = true,
): CannedScorer {
  const calls: ScorerCall[] = [];
  const branches: (readonly number[])[][] = [];
  let open = 0;
  return {
    revision: "scorer-1",
    labels: 1,
    growsInPlace,
    contextTokens,
    calls,
    branches,
    openSessions: () => open,
    open(prompt) {
      if (prompt.length >= contextTokens) {
        throw new GatewayError("prompt_too_long", { tokens: prompt.length, limit: contextTokens });
      }
      open++;
      let isOpen = true;
      return {
        async score(completion) {
          calls.push({ prompt, completion });
          return score([...prompt, ...completion]);
        },
        async scores(completion, at) {
          return at.map((t) => Float32Array.of(score([...prompt, ...completion.slice(0, t + 1)])));
        },
        async grow() {
          const ids = [...prompt];
          let alternatives: readonly number[] = [];
          return {
            ids,
            async branch(next, tails = []) {
              alternatives = next;
              branches.push(next.map((id, i) => [...ids, id, ...(tails[i] ?? [])]));
              return branches.at(-1)!.map((whole) => Float32Array.of(score(whole)));
            },
            accept(index) {
              ids.push(alternatives[index]!);
            },
            close: () => undefined,
          };
        },
        close() {
          if (isOpen) open--;
          isOpen = false;
        },
      };
    },
  };
}

/** How well a policy predicts given texts: exp of the mean negative log-probability of a token. */
import { createRandom } from "../base/random.ts";
import { domains, makeReply, prompts } from "../corpus/index.ts";
import type { Policy } from "../registry/types.ts";

export interface ScoredText {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
}

/** perplexity = exp(−Σ log π(token | before) / tokens). Lower is better; 1 is certainty. */
export async function perplexity(
  policy: Pick<Policy, "score">,
  texts: readonly ScoredText[],
): Promise<number> {
  const { signal } = new AbortController();
  let sum = 0;
  let tokens = 0;
  for (const { prompt, completion } of texts) {
    for (const logprob of await policy.score(prompt, completion, signal)) sum += logprob;
    tokens += completion.length;
  }
  return Math.exp(-sum / tokens);
}

/** A text cut into pieces that the context holds; each but the first token of a piece is predicted. */
export function piecesOf(policy: Pick<Policy, "encode" | "contextTokens">, text: string) {
  const pieces: ScoredText[] = [];
  // No token is shorter than a character, but for the few that a tokenizer adds in front.
  const size = Math.min(2048, policy.contextTokens - 8);
  for (let start = 0; start < text.length; start += size) {
    const [first, ...rest] = policy.encode({ kind: "text", text: text.slice(start, start + size) });
    if (rest.length > 0) pieces.push({ prompt: [first!], completion: rest });
  }
  return pieces;
}

/** Held-out conversations of the embedded models' corpus, `count` of each domain. */
export function corpusTexts(policy: Pick<Policy, "encode">, count: number, seed: number) {
  const random = createRandom(seed);
  return domains.flatMap((domain) => {
    const source = prompts(domain, "heldout", seed);
    return Array.from({ length: count }, (): ScoredText => {
      const prompt = source.next().value;
      return {
        prompt: policy.encode({ kind: "chat", messages: prompt.messages }),
        completion: policy.encode({ kind: "text", text: makeReply(prompt, random).text }),
      };
    });
  });
}

/**
 * Answers prompts by way of the gateway, several at once, and keeps them in the order of the prompts. A prompt's seed
 * follows from its place, and its answers from the seed, whatever else runs: where the work was cut does not show.
 */
import { randomUUID } from "node:crypto";
import { splitSeed } from "../../base/random.ts";
import type { AlignmentRequest, Answer, Gateway } from "../../gateway/types.ts";
import type { ScoredCandidate } from "../../strategies/define.ts";
import { answered } from "../answered.ts";
import { type BatchPrompt, conversationOf } from "./prompts.ts";
import { openSamples, type SampledPrompt } from "./samples-file.ts";

/** Served models. */
export interface Sampler {
  readonly gateway: Pick<Gateway, "answer">;
  /** The policy that answers. */
  readonly model: string;
  /** Answers that it takes at a time, those that wait included. */
  readonly sequencesMax: number;
}

export interface SamplingOptions {
  readonly prompts: readonly BatchPrompt[];
  /** Where they are kept. */
  readonly path: string;
  readonly alignment: AlignmentRequest;
  /** Answers that the strategy is to choose. */
  readonly choices: number;
  /** Answers that are drawn for a prompt, at most. */
  readonly k: number;
  readonly temperature: number;
  readonly topP: number;
  /** null: as many as the context holds. */
  readonly maxTokens: number | null;
  readonly seed: number;
  /** Called for those that were there already as well, and once at least. */
  readonly onProgress: (done: number, total: number) => void;
}

/** All of a prompt's answers are wanted, whichever is the best: the search does not end early. */
export const drawing = (k: number): Omit<AlignmentRequest, "reward"> => ({
  strategy: "best-of-n",
  options: { n: k, early: false },
});

/** Prompts in the engine at a time, at most: what a kill costs. */
const AT_ONCE_MAX = 16;

/**
 * @param sampler asked for only where prompts are left.
 * @returns one for each prompt, those of former runs included.
 * @throws GatewayError whatever an answer or the disk fails with; what was sampled before is kept.
 */
export async function samplePrompts(
  sampler: () => Promise<Sampler>,
  options: SamplingOptions,
): Promise<readonly SampledPrompt[]> {
  const { prompts, path, onProgress } = options;
  const file = await openSamples(path, prompts);
  const all = [...file.sampled];
  const stop = new AbortController();
  try {
    onProgress(all.length, prompts.length);
    if (all.length === prompts.length) return all;
    const { gateway, model, sequencesMax } = await sampler();
    const atOnce = Math.min(AT_ONCE_MAX, Math.max(1, Math.floor(sequencesMax / options.k)));
    const left = prompts.map((prompt, at) => ({ prompt, at })).slice(all.length);
    const draw = ({ prompt, at }: { prompt: BatchPrompt; at: number }) => {
      const seed = splitSeed(options.seed, at) >>> 0;
      return sampleOne(gateway, { ...options, model, prompt, seed, signal: stop.signal });
    };
    for await (const sampled of inOrder(left, draw, atOnce)) {
      await file.append(prompts[all.length]!, sampled);
      all.push(sampled);
      onProgress(all.length, prompts.length);
    }
    return all;
  } finally {
    stop.abort();
    await file.close();
  }
}

interface One extends Omit<SamplingOptions, "prompts"> {
  readonly model: string;
  readonly prompt: BatchPrompt;
  readonly signal: AbortSignal;
}

async function sampleOne(
  gateway: Pick<Gateway, "answer">,
  { model, prompt, seed, signal, ...options }: One,
): Promise<SampledPrompt> {
  const { alignment, choices, temperature, topP, maxTokens } = options;
  const events = gateway.answer({
    id: randomUUID(),
    route: "batch",
    model,
    conversation: conversationOf(prompt.prompt),
    sampling: { temperature, topP, maxTokens, seed },
    choices,
    alignment,
    store: false,
    user: null,
    metadata: null,
    signal,
  });
  const answer = await answered(events);
  const candidates = settled(answer);
  return {
    seed,
    stopped: answer.report.stopped,
    chosen: answer.choices.map(({ index }) => candidates.findIndex((each) => each.index === index)),
    answers: candidates.map(({ text, reward, tokens, logprob, finishReason, cut }) => ({
      text,
      reward,
      tokens: tokens.length,
      logprob,
      isFinished: finishReason === "stop" && cut === null,
    })),
  };
}

/**
 * In order of index. A search that ends early leaves out what it was still drawing: how far that had come by then is chance,
 * and would differ the next time.
 */
function settled({ report, choices }: Answer): ScoredCandidate[] {
  const all = report.candidates.toSorted((a, b) => a.index - b.index);
  if (report.stopped !== "accepted") return all;
  const last = Math.max(...choices.map(({ index }) => index));
  return all.filter(({ index }) => index <= last);
}

/** So many at once, given back in the order of the items. */
async function* inOrder<T, R>(
  items: readonly T[],
  task: (item: T) => Promise<R>,
  atOnce: number,
): AsyncGenerator<R> {
  const running: Promise<R>[] = [];
  for (const item of items) {
    const result = task(item);
    result.catch(() => {}); // NOTE: awaited below; one that fails before its turn must not count as unhandled
    running.push(result);
    if (running.length >= atOnce) yield await running.shift()!;
  }
  while (running.length > 0) yield await running.shift()!;
}

/**
 * What a policy has become, prompt by prompt: one answer of its own to each held-out prompt, judged, and what it says of
 * answers that it did not draw. All policies get the same prompts with the same seeds.
 */
import { randomUUID } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "../../base/atomic-file.ts";
import { isMissing } from "../../base/json-file.ts";
import { splitSeed } from "../../base/random.ts";
import { type CorpusPrompt, goldReward } from "../../corpus/index.ts";
import { openAiDefaults } from "../../registry/policy.ts";
import type { Policy } from "../../registry/types.ts";
import { answered } from "../answered.ts";
import { type BatchPrompt, conversationOf } from "../batch/prompts.ts";
import type { SampledAnswer, SampledPrompt } from "../batch/samples-file.ts";
import type { Served } from "../batch/serve.ts";
import { writing } from "../batch/writing.ts";
import { ANSWER_TOKENS_MAX, inTurns } from "../in-turns.ts";

/** A held-out prompt with answers of the base. */
export interface HeldOutPrompt {
  readonly prompt: BatchPrompt;
  readonly corpus: CorpusPrompt;
  /** What best-of-n answers. */
  readonly best: SampledAnswer;
  /** Of those that ended by themselves the one with the highest reward and the one with the lowest; null: all are worth the same. */
  readonly pair: { readonly chosen: string; readonly rejected: string } | null;
}

/** Of one prompt. Rewards in their own unit, the rest in nats. */
export interface JudgedAnswer {
  readonly text: string;
  readonly gold: number;
  readonly isRight: boolean;
  /** What the base's candidates were judged by; null: no judgement. */
  readonly reward: number | null;
  readonly tokens: number;
  /** Σ over the answer's tokens of log(π/π_ref): unbiased for KL(π ‖ π_ref) of whole answers. @see klOf */
  readonly k1: number;
  readonly k3: number;
  /** log π of the prompt's pair, end of turn included. */
  readonly pair: { readonly chosen: number; readonly rejected: number } | null;
}

export interface JudgeOptions {
  /** π_ref: what the candidates were drawn by. */
  readonly base: Policy;
  readonly prompts: readonly HeldOutPrompt[];
  readonly seed: number;
  readonly onProgress: (done: number, total: number) => void;
}

const FILE = "judged.json";

/**
 * Judges a policy, unless the folder has its judgements: they are written once all are there.
 * @param serve asked only for a policy that is to be judged.
 * @throws GatewayError whatever an answer or the disk fails with
 */
export async function keptJudgements(
  folder: string,
  serve: () => Promise<Served>,
  options: JudgeOptions,
): Promise<readonly JudgedAnswer[]> {
  const file = join(folder, FILE);
  const found = await readJudgements(file);
  if (found) return found;
  await writing(folder, () => mkdir(folder, { recursive: true }));
  const judged = await judgePolicy(await serve(), options);
  await writing(file, () => writeFileAtomically(file, [JSON.stringify(judged), "\n"]));
  return judged;
}

async function readJudgements(file: string): Promise<readonly JudgedAnswer[] | null> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as readonly JudgedAnswer[]; // written here, whole
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

export async function judgePolicy(served: Served, options: JudgeOptions): Promise<JudgedAnswer[]> {
  const { prompts, onProgress } = options;
  let done = 0;
  onProgress(0, prompts.length);
  return inTurns(prompts, async (asked, at) => {
    const seed = splitSeed(splitSeed(options.seed, JUDGED), at) >>> 0;
    const judged = await judge(served, options.base, { asked, seed });
    onProgress(++done, prompts.length);
    return judged;
  });
}

/** Of the seeds that follow from the evaluation's: those of candidates are others. */
const JUDGED = 2;

async function judge(
  served: Served,
  base: Policy,
  { asked, seed }: { readonly asked: HeldOutPrompt; readonly seed: number },
): Promise<JudgedAnswer> {
  const { prompt, corpus, pair } = asked;
  const { signal } = new AbortController();
  const conversation = conversationOf(prompt.prompt);
  const { choices } = await answered(
    served.gateway.answer({
      id: randomUUID(),
      route: "eval trainers",
      model: served.model,
      conversation,
      sampling: { ...openAiDefaults, maxTokens: ANSWER_TOKENS_MAX, seed }, // π itself, whatever its folder says
      choices: 1,
      alignment: { strategy: "sample", reward: served.reward, options: {} },
      store: false,
      user: null,
      metadata: null,
      signal,
    }),
  );
  const { text, reward, tokens } = choices[0]!;
  const encoded = base.encode(conversation);
  const ids = tokens.map(({ id }) => id);
  const likelihood = async (answer: string) => {
    const logps = await served.policy.score(
      encoded,
      served.policy.encodeAnswer(answer, true),
      signal,
    );
    return logps.reduce((sum, logp) => sum + logp, 0);
  };
  const [references, chosen, rejected] = await Promise.all([
    ids.length > 0 ? base.score(encoded, ids, signal) : [],
    pair && likelihood(pair.chosen),
    pair && likelihood(pair.rejected),
  ]);
  const { total, correct } = goldReward(corpus, text);
  return {
    text,
    gold: total,
    isRight: correct,
    reward,
    tokens: ids.length,
    ...klOf(
      tokens.map(({ logprob }) => logprob),
      [...references],
    ),
    pair: chosen === null || rejected === null ? null : { chosen, rejected },
  };
}

/**
 * One answer's estimates of KL(π ‖ π_ref), for tokens drawn from π, with dₜ = log π − log π_ref of a token:
 * k1 = Σ dₜ, unbiased and below 0 for some answers; k3 = Σ (e^(−dₜ) + dₜ − 1), unbiased as well since each prefix is
 * drawn from π, never below 0, less spread while the two are near.
 * @param own,references [tokens] nats. Source: Schulman 2020, "Approximating KL divergence".
 */
export function klOf(
  own: readonly number[],
  references: readonly number[],
): { readonly k1: number; readonly k3: number } {
  const ratios = own.map((logp, i) => logp - references[i]!);
  const sum = (of: (ratio: number) => number) =>
    ratios.reduce((total, ratio) => total + of(ratio), 0);
  return { k1: sum((d) => d), k3: sum((d) => Math.expm1(-d) + d) };
}

/** @param candidates of a prompt of the corpus, drawn by the strategy best-of-n. */
export function heldOutPrompt(
  prompt: BatchPrompt,
  corpus: CorpusPrompt,
  { answers, chosen }: SampledPrompt,
): HeldOutPrompt {
  const judged = answers.flatMap(({ text, reward, isFinished }) =>
    isFinished && reward !== null && text.trim() !== "" ? [{ text, reward }] : [],
  );
  const ranked = judged.toSorted((a, b) => b.reward - a.reward);
  const [first, last] = [ranked[0], ranked.at(-1)];
  const pair =
    first && last && first.reward > last.reward
      ? { chosen: first.text, rejected: last.text }
      : null;
  return { prompt, corpus, best: answers[chosen[0]!]!, pair };
}

/** What a reward is: a judge of texts. One file per kind; `index.ts` lists them. */
import type { Static, TObject } from "typebox";
import type { Clock } from "../base/clock.ts";
import type { Optioned } from "../base/options.ts";
import type { TemplateMessage } from "../text/chat-template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

export interface RewardPrompt {
  /** The conversation the text answers; a bare text prompt is one user message. */
  readonly messages: readonly TemplateMessage[];
  /** Who asks, as the request says it; for rewards that weigh by user. */
  readonly user?: string | null;
}

export interface Reward {
  /** Public id, e.g. "tiny-reward". */
  readonly id: string;
  readonly revision: string;
  /** Whether a number for an unfinished answer means something; a strategy that guides by prefixes demands it. */
  readonly acceptsPrefixes: boolean;
  /**
   * Its lowest and highest value, where it has such; infinite where it has one of them only. A search ends at an answer
   * that has the highest, so no other may ever have more.
   */
  readonly range?: readonly [number, number];
  /** Judgements that one of its own is made of; 1 unless said. What one costs, in a budget of reward calls. */
  readonly calls?: number;
  /**
   * Opens one prompt, so that what depends on it alone is computed once for all candidates.
   * @throws GatewayError prompt_too_long
   */
  open(prompt: RewardPrompt, signal: AbortSignal): RewardSession;
}

export interface RewardSession {
  /**
   * The raw reward of one answer, unsquashed, in the source's own unit. NaN means "no judgement".
   * Rejects when the source fails; the strategy decides what that means for the candidate.
   */
  score(text: string, options?: ScoreOptions): Promise<number>;
  /** What `score` gives, with the scores it was made of; only rewards made of others have it. */
  judge?(text: string, options?: ScoreOptions): Promise<Judgement>;
  /**
   * For an answer that a policy grows by choosing tokens: what was computed of it is kept. A reward without it, or
   * that cannot for this policy, is asked for the whole text of each alternative.
   */
  guide?(options: GuideOptions): Promise<RewardGuide | NoGuide>;
  /** Frees what `open` took. Idempotent. */
  close(): void;
}

export interface ScoreOptions {
  /** False: the text was cut, so that its end was not chosen. Few rewards tell the two apart. True unless said. */
  readonly isFinished?: boolean;
  /**
   * Hears, before the number comes, in a word each, how it came about where that is not the usual way; a word may
   * come more than once.
   */
  readonly onFlag?: ((flag: RewardFlag) => void) | undefined;
  /** Hears how many tokens a model wrote in order to judge, as soon as it has, where that is known. */
  readonly onTokens?: ((tokens: number) => void) | undefined;
}

export interface Judgement {
  readonly reward: number;
  /** Raw scores of the parts by their names; empty for a reward that has none. */
  readonly parts: Readonly<Record<string, number>>;
  /** How it came about, each word once; missing where that is the usual way. */
  readonly flags?: readonly RewardFlag[];
}

/** The reward of a text with what it was made of, and how. `onFlag` hears the flags too. */
export async function judgementOf(
  session: RewardSession,
  text: string,
  { onFlag, ...options }: ScoreOptions = {},
): Promise<Judgement> {
  const flags = new Set<RewardFlag>();
  const how: ScoreOptions = {
    ...options,
    onFlag(flag) {
      flags.add(flag);
      onFlag?.(flag);
    },
  };
  const judgement = session.judge
    ? await session.judge(text, how)
    : { reward: await session.score(text, how), parts: {} };
  return flags.size === 0 ? judgement : { ...judgement, flags: [...flags].sort() };
}

/** "asked-again": a judge's first reply was unclear. "mean-logprob": no reply was clear, and this is the answer's likelihood. */
export type RewardFlag = "asked-again" | "mean-logprob";

/** A reward that says which of two answers is better. Its `score` is the preference over a fixed answer, if it has one. */
export interface PairwiseReward extends Reward {
  readonly comparesPairs: true;
  /** Whether it can score one answer: it has another to compare it with. */
  readonly scoresAlone: boolean;
  open(prompt: RewardPrompt, signal: AbortSignal): ComparisonSession;
}

export interface ComparisonSession extends RewardSession {
  /** Preference for a over b in [0, 1]: 1 is better, 0 worse, ½ a tie. */
  compare(a: string, b: string, how?: Omit<ScoreOptions, "isFinished">): Promise<number>;
}

export const isPairwiseReward = (reward: Reward): reward is PairwiseReward =>
  "comparesPairs" in reward;

export interface GuideOptions {
  /** The policy's; another vocabulary cannot be followed token by token. */
  readonly tokenizer: Tokenizer;
  /** The policy's tokens that end an answer. */
  readonly endTokens: ReadonlySet<number>;
  readonly at: ScoredAt;
}

/**
 * Where an unfinished answer is judged: at its last token, as ARGS, RAD and partial-sequence reward models do; or at
 * the end of its turn, as if it ended there, which is where a reward model of whole answers was trained. A finished
 * one is judged at the end of its turn either way.
 */
export type ScoredAt = "token" | "end-of-turn";

/** An answer that grows. To be closed. */
export interface RewardGuide {
  /** Tokens that an answer may have. */
  readonly tokensMax: number;
  /** What a reader of the answer should know of how it is judged; null: nothing. */
  readonly warning: string | null;
  /** The reward with each alternative for the next token, raw; NaN means "no judgement". Nothing is appended. */
  branch(ids: readonly number[]): Promise<readonly number[]>;
  /** Appends one of the alternatives of the last `branch`, by its index, unless it ends the answer. */
  accept(index: number): Promise<void>;
  /** Idempotent. */
  close(): void;
}

export interface NoGuide {
  /** Why there is none. */
  readonly problem: string;
}

/** A reward that judges each step of an answer, of an unfinished one too: every prefix of whole steps is judged alike. */
export interface ProcessReward extends Reward {
  readonly steps: StepRule;
  open(prompt: RewardPrompt, signal: AbortSignal): ProcessRewardSession;
}

export interface ProcessRewardSession extends RewardSession {
  /** One score a step, in order. `score` is their aggregate. */
  scoreSteps(text: string): Promise<StepScores>;
}

export interface StepScores {
  readonly steps: readonly StepScore[];
  /** The steps' scores in one number, as `StepRule.aggregate` gives it; NaN without steps. */
  readonly reward: number;
}

export interface StepScore {
  readonly text: string;
  /** Probability that the step is right, in [0, 1], given those before it. */
  readonly score: number;
}

/** How a process reward cuts answers, so that a search can end candidates where steps end. */
export interface StepRule {
  readonly separator: string;
  /** Steps without the separators; blank ones are none. */
  split(text: string): string[];
  aggregate(scores: readonly number[]): number;
}

export const isProcessReward = (reward: Reward): reward is ProcessReward => "steps" in reward;

/** A kind of reward that a configuration, or where it is inline a request, makes by its options. */
export interface RewardKind<O extends TObject = TObject> extends Optioned<O> {
  /** One sentence for /docs. */
  readonly description: string;
  /** Whether a request may bring one: it opens no connection, reads no file and runs no code. */
  readonly isInline: boolean;
  /** @throws GatewayError invalid_request for what the schema cannot say, reward_not_found */
  create(id: string, options: Static<O>, world: RewardWorld): Reward;
}

export function defineReward<O extends TObject>(kind: RewardKind<O>): RewardKind<O> {
  return kind;
}

/** What a reward may be made of. */
export interface RewardWorld {
  /**
   * One by its id, or by its kind and options; for a request only kinds that are inline.
   * @throws GatewayError reward_not_found, invalid_request, config_invalid when it would be made of itself
   */
  readonly reward: (asked: string | RewardSpec) => Reward;
  /** A served policy, as a judge or for its likelihoods. @throws GatewayError model_not_found */
  readonly speaker: (id: string) => Speaker;
  readonly clock: Clock;
}

/** A served language model as a reward sees it. */
export interface Speaker {
  readonly id: string;
  readonly revision: string;
  /** What it says to a conversation, and in how many tokens, its end of turn among them. */
  answer(
    messages: readonly TemplateMessage[],
    sampling: { readonly maxTokens: number; readonly temperature: number; readonly seed: number },
    signal: AbortSignal,
  ): Promise<{ readonly text: string; readonly tokens: number }>;
  /** How many tokens it reads an answer as, its end of turn not counted. */
  countTokens(answer: string): number;
  /** log π of each token of an answer, and of its end of turn unless it is unfinished. Nats. */
  logprobs(
    messages: readonly TemplateMessage[],
    answer: string,
    options: { readonly isFinished: boolean; readonly signal: AbortSignal },
  ): Promise<Float32Array>;
}

/** As it stands in a configuration or a request: the kind's name, and its options. */
export interface RewardSpec {
  readonly kind: string;
  readonly [option: string]: unknown;
}

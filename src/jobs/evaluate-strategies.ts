/**
 * What each strategy makes of the compute it spends, on held-out prompts of the embedded models' corpus, whose gold reward
 * no search sees. Every trial answers the same prompts with the same seeds, one request after the other by way of the
 * gateway, so that milliseconds are those of a server with nothing else to do.
 */
import { randomUUID } from "node:crypto";
import { splitSeed } from "../base/random.ts";
import { bootstrapInterval, type Interval, meanOf } from "../base/statistics.ts";
import { type CorpusPrompt, type Domain, goldReward, prompts } from "../corpus/index.ts";
import type { AlignmentRequest, Answer, Gateway } from "../gateway/types.ts";
import { answered } from "./answered.ts";
import { ANSWER_TOKENS_MAX, take } from "./in-turns.ts";

/** A strategy with its options and reward, as a request names them. */
export interface Trial extends AlignmentRequest {
  readonly name: string;
  /** Where it makes sense. */
  readonly domains: readonly Domain[];
}

export interface StrategiesOptions {
  readonly gateway: Pick<Gateway, "answer">;
  /** The policy that answers. */
  readonly model: string;
  readonly trials: readonly Trial[];
  readonly promptsPerDomain: number;
  readonly seed: number;
  /** Called after each answer. */
  readonly onProgress: () => void;
}

/** Means over prompts; intervals are 95 %, by resampling prompts. */
export interface TrialRow {
  readonly trial: string;
  readonly domain: Domain;
  readonly gold: Interval;
  /** Share of answers that gold calls correct; of arithmetic those with the right number. */
  readonly accuracy: Interval;
  /** Nats; null where the strategy says none. */
  readonly klBound: number | null;
  readonly klEstimate: number | null;
  /** Drawn for an answer, those of other candidates included. */
  readonly tokens: Interval;
  readonly rewardCalls: Interval;
  readonly ms: Interval;
  /** How often searches ended for which reason. */
  readonly stopped: Readonly<Record<string, number>>;
}

/** @throws GatewayError whatever an answer fails with */
export async function evaluateStrategies(options: StrategiesOptions): Promise<TrialRow[]> {
  const { trials, promptsPerDomain, seed, onProgress } = options;
  const rows: TrialRow[] = [];
  for (const trial of trials) {
    for (const domain of trial.domains) {
      const asked = take(prompts(domain, "heldout", seed), promptsPerDomain);
      const judged: Judged[] = [];
      for (const [i, prompt] of asked.entries()) {
        judged.push(await judge(options, { trial, prompt, seed: splitSeed(seed, i) >>> 0 }));
        onProgress();
      }
      rows.push(rowOf(trial, domain, judged));
    }
  }
  return rows;
}

interface Judged {
  readonly gold: number;
  readonly isRight: boolean;
  readonly report: Answer["report"];
}

async function judge(
  { gateway, model }: StrategiesOptions,
  {
    trial,
    prompt,
    seed,
  }: { readonly trial: Trial; readonly prompt: CorpusPrompt; readonly seed: number },
): Promise<Judged> {
  const { choices, report } = await answered(
    gateway.answer({
      id: randomUUID(),
      route: "eval strategies",
      model,
      conversation: { kind: "chat", messages: prompt.messages },
      sampling: { temperature: 1, maxTokens: ANSWER_TOKENS_MAX, seed },
      choices: 1,
      alignment: trial,
      store: false,
      user: null,
      metadata: null,
      signal: new AbortController().signal,
    }),
  );
  const { total, correct } = goldReward(prompt, choices[0]!.text);
  return { gold: total, isRight: correct, report };
}

function rowOf({ name }: Trial, domain: Domain, judged: readonly Judged[]): TrialRow {
  const measured = (of: (each: Judged) => number) => bootstrapInterval(judged.map(of), { seed: 1 });
  const known = (of: (each: Judged) => number | null) => {
    const values = judged.map(of).filter((value) => value !== null);
    return values.length < judged.length ? null : meanOf(values);
  };
  const stopped: Record<string, number> = {};
  for (const { report } of judged) stopped[report.stopped] = (stopped[report.stopped] ?? 0) + 1;
  return {
    trial: name,
    domain,
    gold: measured(({ gold }) => gold),
    accuracy: measured(({ isRight }) => Number(isRight)),
    klBound: known(({ report }) => report.kl.bound),
    klEstimate: known(({ report }) => report.kl.estimate),
    tokens: measured(({ report }) => report.cost.tokens),
    rewardCalls: measured(({ report }) => report.cost.rewardCalls),
    ms: measured(({ report }) => report.cost.ms),
    stopped,
  };
}

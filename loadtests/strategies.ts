/** `npm run bench -- strategies`: what guiding costs, beside plain decoding and beside reading the whole answer anew for each candidate. */
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { Turnstile } from "../src/engine/turnstile.ts";
import { openRuntime } from "../src/onnx/runtime/index.ts";
import { loadPolicy } from "../src/registry/load.ts";
import { loadReward } from "../src/registry/load-reward.ts";
import type { Policy, TextSampling } from "../src/registry/types.ts";
import type { Reward, ScoredAt } from "../src/rewards/define.ts";
import { args } from "../src/strategies/args.ts";
import { Budget, unlimited } from "../src/strategies/budget.ts";
import type { StrategyInput } from "../src/strategies/define.ts";
import { median, timed } from "./engine.ts";
import { type Row, tableOf } from "./table.ts";

const MODELS = join(import.meta.dirname, "../models");
const QUESTION =
  "Emma buys 3 packs of 4 pencils and gives away 5 pencils. How many pencils are left?";
const K = 10;
/** Guided requests at once. */
const TOGETHER = 4;

/** Says how many runs of models went through it. */
class CountingTurnstile extends Turnstile {
  runs = 0;

  override through(task: () => Promise<void>): Promise<number> {
    this.runs += 1;
    return super.through(task);
  }
}

type StrategiesMeasured = Awaited<ReturnType<typeof measureStrategies>>;

interface Load {
  readonly tokens: number;
  readonly repeats: number;
}

/** Tokens a second, of answers that run to their full length. */
export async function measureStrategies({ tokens, repeats }: Load) {
  const turnstile = new CountingTurnstile(systemClock);
  const common = { runtime: openRuntime(), provider: "cpu", turnstile } as const;
  const served = { ...common, sequencesMax: 64, queueSequencesMax: 64 };
  const { policy, engine } = await loadPolicy({ ...served, folder: join(MODELS, "tiny-chat") });
  const judge = await loadReward({ ...common, folder: join(MODELS, "tiny-reward") });
  const { signal } = new AbortController();
  const messages = [{ role: "user", content: QUESTION }];
  const prompt = policy.encode({ kind: "chat", messages });
  const sampling = endless(policy, tokens);
  const plain = async () => {
    await engine.sample(prompt, 1, { ...sampling, endTokens: new Set() }, { signal });
  };
  const guided = async (reward: Reward, at: ScoredAt = "token") => {
    const input: StrategyInput = {
      policy,
      reward,
      prompt,
      conversation: { kind: "chat", messages },
      rewardPrompt: { messages },
      sampling: { ...sampling, logitBias: ended(policy) },
      models: { policy: () => policy, reward: () => reward },
      budget: new Budget(unlimited, systemClock),
      choices: 1,
      signal,
    };
    const options = { weight: 1, k: K, method: "stochastic", at } as const;
    for await (const _ of args.run(input, options));
  };
  const works = {
    plain,
    guided: () => guided(judge.reward),
    guidedAtEnd: () => guided(judge.reward, "end-of-turn"),
    together: () => Promise.all(Array.from({ length: TOGETHER }, () => guided(judge.reward))),
    encoded: () => guided(withoutGuide(judge.reward)),
  };
  const names = Object.keys(works) as (keyof typeof works)[]; // as written above
  const ms = new Map(names.map((name) => [name, [] as number[]]));
  const runs = new Map<keyof typeof works, number>();
  for (let repeat = -1; repeat < repeats; repeat++) {
    for (const name of names) {
      const before = turnstile.runs;
      const spent = await timed(works[name]);
      runs.set(name, turnstile.runs - before);
      if (repeat >= 0) ms.get(name)!.push(spent); // the first round warms up
    }
  }
  await engine.dispose();
  await judge.engine.dispose();
  const perSecond = (name: keyof typeof works) => (tokens * 1000) / median(ms.get(name)!);
  const tokensPerSecond = {
    plain: perSecond("plain"),
    guided: perSecond("guided"),
    guidedAtEnd: perSecond("guidedAtEnd"),
    together: TOGETHER * perSecond("together"),
    encoded: perSecond("encoded"),
  };
  const ratios = {
    guided_over_plain: tokensPerSecond.guided / tokensPerSecond.plain,
    guided_over_encoded: tokensPerSecond.guided / tokensPerSecond.encoded,
    together_over_guided: tokensPerSecond.together / tokensPerSecond.guided,
  };
  const runsPerToken = {
    guided: runs.get("guided")! / tokens,
    together: runs.get("together")! / tokens / TOGETHER,
  };
  return { ratios, tokensPerSecond, runsPerToken, tokens };
}

export function strategiesReport(measured: StrategiesMeasured) {
  const { ratios, tokensPerSecond: of, runsPerToken, tokens } = measured;
  const unit = "tokens/s";
  const each = `args, k = ${K}`;
  const rows: Row[] = [
    { what: `plain decoding, ${tokens} tokens`, value: of.plain, unit },
    { what: each, value: of.guided, unit },
    { what: `${each}, judged at the end of the turn`, value: of.guidedAtEnd, unit },
    { what: `${each}, ${TOGETHER} requests at once`, value: of.together, unit },
    { what: `${each}, whole texts judged anew`, value: of.encoded, unit },
    { what: "guided over plain", value: ratios.guided_over_plain, unit: "×", aim: "≥ 0.25" },
    {
      what: "guided over whole texts anew",
      value: ratios.guided_over_encoded,
      unit: "×",
      aim: "≥ 10",
    },
    { what: `${TOGETHER} requests over one`, value: ratios.together_over_guided, unit: "×" },
    { what: "runs of the models a token, one request", value: runsPerToken.guided, unit: "" },
    { what: `the same, ${TOGETHER} at once`, value: runsPerToken.together, unit: "" },
  ];
  return tableOf(rows);
}

const endless = (policy: Policy, maxTokens: number): TextSampling => ({
  ...policy.defaults,
  temperature: 1,
  seed: 1,
  maxTokens,
});

/** An answer's end would make the lengths differ. */
const ended = ({ endTokens }: Policy) => new Map([...endTokens].map((id) => [id, -100] as const));

/** The usual form: every candidate of every step is a whole text. */
function withoutGuide(reward: Reward): Reward {
  return {
    ...reward,
    open: (prompt, signal) => {
      const session = reward.open(prompt, signal);
      return {
        score: (text, how) => session.score(text, how),
        close: () => session.close(),
      };
    },
  };
}

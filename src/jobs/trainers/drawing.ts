/** The base's answers: to training prompts, of which trials learn, and to the held-out ones that policies are judged on. */
import { join } from "node:path";
import { assert } from "../../base/assert.ts";
import { splitSeed } from "../../base/random.ts";
import type { Domain } from "../../corpus/index.ts";
import type { RewardedPrompt } from "../../datasets/rewarded.ts";
import { type BatchPrompt, corpusPrompts } from "../batch/prompts.ts";
import { drawing, samplePrompts } from "../batch/sample-prompts.ts";
import type { SampledPrompt } from "../batch/samples-file.ts";
import type { Served } from "../batch/serve.ts";
import { ANSWER_TOKENS_MAX } from "../in-turns.ts";
import { candidatesOf } from "./candidates.ts";
import { type HeldOutPrompt, heldOutPrompt } from "./judge.ts";

export interface DrawingOptions {
  readonly domains: readonly Domain[];
  /** Of each domain, to draw candidates for. */
  readonly prompts: number;
  /** Candidates of a prompt. */
  readonly k: number;
  /** Prompts of each domain that policies are judged on. */
  readonly heldOut: number;
  /** Of the base's best-of-n. */
  readonly n: number;
  readonly seed: number;
  readonly out: string;
}

/** A domain's prompts. */
export interface AskedDomain {
  readonly domain: Domain;
  readonly train: readonly BatchPrompt[];
  readonly heldOut: readonly BatchPrompt[];
}

export function askedDomains(options: DrawingOptions): AskedDomain[] {
  const { domains, prompts, heldOut, seed } = options;
  return domains.map((domain) => ({
    domain,
    train: corpusPrompts({ domain, side: "train", count: prompts, seed }),
    heldOut: corpusPrompts({ domain, side: "heldout", count: heldOut, seed }),
  }));
}

/** What trials learn from, all domains together, and what policies are judged on, domain after domain. */
export interface Drawn {
  readonly candidates: readonly RewardedPrompt[];
  readonly heldOut: readonly HeldOutPrompt[];
}

/** What former runs have drawn is read, not drawn again. @throws GatewayError whatever an answer or the disk fails with */
export async function drawAll(
  served: Served,
  asked: readonly AskedDomain[],
  options: DrawingOptions,
  onProgress: (stage: string, done: number, total: number) => void,
): Promise<Drawn> {
  const { k, n, seed, out } = options;
  const draw = (name: string, prompts: readonly BatchPrompt[], of: { n: number; seed: number }) =>
    samplePrompts(async () => served, {
      prompts,
      path: join(out, `${name}.jsonl`),
      alignment: { ...drawing(of.n), reward: served.reward },
      choices: 1,
      k: of.n,
      temperature: 1,
      topP: 1,
      maxTokens: ANSWER_TOKENS_MAX,
      seed: of.seed,
      onProgress: (done, total) => onProgress(name, done, total),
    });
  const candidates: RewardedPrompt[] = [];
  const heldOut: HeldOutPrompt[] = [];
  for (const { domain, train, heldOut: apart } of asked) {
    candidates.push(
      ...candidatesOf(train, await draw(`candidates-${domain}`, train, { n: k, seed })),
    );
    const judged = { n, seed: splitSeed(seed, 1) >>> 0 };
    heldOut.push(...heldOutPrompts(apart, await draw(`held-out-${domain}`, apart, judged)));
  }
  return { candidates, heldOut };
}

function heldOutPrompts(
  prompts: readonly BatchPrompt[],
  sampled: readonly SampledPrompt[],
): HeldOutPrompt[] {
  return prompts.map((prompt, i) => {
    assert(prompt.corpus, "prompts of the corpus carry their facts");
    return heldOutPrompt(prompt, prompt.corpus, sampled[i]!);
  });
}

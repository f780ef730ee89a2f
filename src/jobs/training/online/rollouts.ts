/**
 * The rollouts of a training, each drawn once: of the prompts that are next, by the policy as it is, with all that an update
 * is made of. Whoever asks for an update gets the same one, whether its rollout was just drawn or lay on the disk.
 */
import { assert } from "../../../base/assert.ts";
import { splitSeed } from "../../../base/random.ts";
import type { AdvantageEstimator } from "../../../train/advantages.ts";
import { stepsOver } from "../schedule-examples.ts";
import {
  type CreditedAnswer,
  creditGroups,
  hasSpread,
  type ReferenceOf,
  rewardsOf,
} from "./credit.ts";
import {
  type Drawing,
  type DrawnAnswer,
  type DrawnGroup,
  drawGroups,
  type Rollout,
} from "./draw.ts";
import { rolloutMetrics } from "./evaluate.ts";
import type { OnlineRecipe } from "./options.ts";
import type { ReadPrompt } from "./prompts.ts";
import type { RolloutsFile } from "./rollouts-file.ts";
import type { TokenReader } from "./token-reader.ts";
import {
  correctedWeights,
  lacksRatio,
  pairOf,
  pairUpdate,
  policyUpdate,
  type Update,
} from "./updates.ts";

export interface RolloutParts {
  readonly options: OnlineRecipe;
  /** What advantages come from; null: pairs are learned from. */
  readonly estimator: AdvantageEstimator | null;
  readonly drawing: Drawing;
  readonly file: RolloutsFile;
  readonly order: { readonly at: (step: number) => readonly ReadPrompt[] };
  /** Of the policy in training: its values, and its log-probabilities where the engine's are of another temperature. */
  readonly own: TokenReader | null;
  readonly reference: TokenReader | null;
  /** Called before anything is drawn. */
  readonly refresh: () => void;
  readonly updatesPerRollout: number;
  readonly minibatch: number;
}

/** DAPO's dynamic sampling and Reinforce-Rej: prompts whose answers are worth the same are left out. */
const leavesOut = new Set(["dapo", "reinforce-rej"]);

export class Rollouts {
  readonly #parts: RolloutParts;
  /** By rollout: sum and number of the rewards that were judged. */
  readonly #rewards: { sum: number; count: number }[] = [];
  #current: Ready | null = null;

  constructor(parts: RolloutParts) {
    this.#parts = parts;
    for (const { groups } of parts.file.found) this.#count(groups);
  }

  /** Of the update numbered from 1; with the rollout's metrics where it is the first of its. */
  async update(step: number): Promise<Update & { readonly metrics: Record<string, number> }> {
    const { updatesPerRollout, minibatch, options } = this.#parts;
    const index = Math.floor((step - 1) / updatesPerRollout);
    const at = (step - 1) % updatesPerRollout;
    const ready = this.#current?.rollout.index === index ? this.#current : await this.#ready(index);
    this.#current = ready;
    const seed = splitSeed(options.seed, index) >>> 0;
    const some = stepsOver(ready.rollout.groups, { batch: minibatch, seed }).at(at + 1);
    const update = await this.#updateOf(ready, some, at > 0);
    return { ...update, metrics: at === 0 ? ready.metrics : {} };
  }

  async #updateOf(ready: Ready, some: readonly DrawnGroup[], isLater: boolean): Promise<Update> {
    const { options, estimator, own } = this.#parts;
    const { lossOptions, passTokens, method } = options;
    const how = { loss: method.loss, lossOptions, passTokens };
    if (estimator === null) {
      const pairs = some.flatMap((group) => {
        const pair = pairOf(group, rewardsOf(group, options, ready.reference));
        return pair ? [{ prompt: group.prompt, pair }] : [];
      });
      return pairUpdate(pairs, ready.reference, how);
    }
    const learned = some.filter(
      (group) => !leavesOut.has(method.loss.name) || hasSpread(group, options, ready.reference),
    );
    const answers = learned.flatMap((group) => ready.credited.get(group)!);
    if (!isLater || !lacksRatio(method.loss)) return policyUpdate(answers, how);
    assert(own, "answers of an older policy are weighed by what the policy of now says of them");
    const now = (await own.read(answers)).map(({ logps }) => logps);
    return policyUpdate(correctedWeights(answers, now, options.importance), how);
  }

  async #ready(index: number): Promise<Ready> {
    const { options, estimator, reference: reader } = this.#parts;
    const rollout = this.#parts.file.found[index] ?? (await this.#draw(index));
    const { groups } = rollout;
    const reference = await referencesOf(groups, reader);
    const before = { meanReward: this.#meanBefore(index) };
    const credited =
      estimator === null ? [] : creditGroups(groups, estimator, { options, reference, before });
    return {
      rollout,
      reference,
      credited: new Map(credited.map((answers, i) => [groups[i]!, answers])),
      metrics: rolloutMetrics(groups, (group) => hasSpread(group, options, reference)),
    };
  }

  async #draw(index: number): Promise<Rollout> {
    const { drawing, order, own, file, refresh, updatesPerRollout } = this.#parts;
    refresh();
    const drawn = await drawGroups(drawing, order.at(index + 1), index);
    const groups = own ? await readAgain(drawn, own, drawing.temperature) : drawn;
    const rollout = { index, sampledAt: index * updatesPerRollout, groups };
    await file.append(rollout);
    this.#count(groups);
    return rollout;
  }

  #count(groups: readonly DrawnGroup[]): void {
    const rewards = groups.flatMap(({ answers }) =>
      answers.flatMap(({ reward }) => (reward === null ? [] : [reward])),
    );
    this.#rewards.push({
      sum: rewards.reduce((sum, each) => sum + each, 0),
      count: rewards.length,
    });
  }

  #meanBefore(index: number): number | null {
    const before = this.#rewards.slice(0, index);
    const count = before.reduce((n, each) => n + each.count, 0);
    return count === 0 ? null : before.reduce((sum, each) => sum + each.sum, 0) / count;
  }
}

interface Ready {
  readonly rollout: Rollout;
  readonly reference: ReferenceOf;
  readonly credited: ReadonlyMap<DrawnGroup, readonly CreditedAnswer[]>;
  readonly metrics: Record<string, number>;
}

async function referencesOf(
  groups: readonly DrawnGroup[],
  reader: TokenReader | null,
): Promise<ReferenceOf> {
  if (reader === null) return () => null;
  const answers = groups.flatMap((group) => group.answers);
  const numbers = await reader.read(promptedOf(groups));
  const table = new Map(answers.map((answer, i) => [answer, numbers[i]!.logps] as const));
  return (answer: DrawnAnswer) => table.get(answer)!;
}

/** With what a value head says before each token, and the log-probabilities of the law that drew. */
async function readAgain(
  groups: readonly DrawnGroup[],
  reader: TokenReader,
  temperature: number,
): Promise<DrawnGroup[]> {
  const numbers = await reader.read(promptedOf(groups));
  let at = 0;
  return groups.map((group) => ({
    ...group,
    answers: group.answers.map((answer) => {
      const { logps, values } = numbers[at++]!;
      return { ...answer, values, logps: temperature === 1 ? answer.logps : logps };
    }),
  }));
}

const promptedOf = (groups: readonly DrawnGroup[]) =>
  groups.flatMap(({ prompt, answers }) =>
    answers.map(({ tokens }) => ({ prompt: prompt.ids, completion: tokens })),
  );

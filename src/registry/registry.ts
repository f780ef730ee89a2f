/** What is served, by public id: policies, presets on them, and rewards. Only policies come and go. */
import type { Clock } from "../base/clock.ts";
import { GatewayError } from "../base/errors.ts";
import type { Reward, RewardSpec } from "../rewards/define.ts";
import { createRewards } from "./rewards.ts";
import { createSpeaker } from "./speaker.ts";
import type { ModelCard, Policy, Preset } from "./types.ts";

export interface RegistryParts {
  readonly policies: readonly Policy[];
  /** With models of their own. */
  readonly rewards: readonly Reward[];
  /** Made by their options, by id. */
  readonly configuredRewards?: Readonly<Record<string, RewardSpec>>;
  readonly presets: readonly Preset[];
  /** The reward of strategies that need one when a request names none; null = there is none. */
  readonly defaultReward: string | null;
  /** Unix seconds, for what has no date of its own: rewards. */
  readonly created: number;
  readonly clock: Clock;
}

export interface Registry {
  /** Policies, then presets, then rewards, each in the order given. */
  models(): readonly ModelCard[];
  /** @throws GatewayError model_not_found when the id is neither a policy's nor a preset's. */
  model(id: string): { readonly policy: Policy; readonly preset: Preset | null };
  /**
   * @param where the request's field that asks for it; `alignment.reward` unless said
   * @throws GatewayError reward_not_found; invalid_request for one that a request may not bring, or wrong options
   */
  reward(asked: string | RewardSpec, where?: string): Reward;
  /** The policy is listed last of its kind. @throws GatewayError config_invalid when its id is taken. */
  add(policy: Policy): void;
  remove(id: string): void;
  readonly presets: readonly Preset[];
  readonly defaultReward: Reward | null;
}

/** @throws GatewayError config_invalid when an id is used twice, or a preset or the default names nothing. */
export function createRegistry(given: RegistryParts): Registry {
  const policies = new Map(given.policies.map((policy) => [policy.id, policy]));
  const policyNamed = (id: string) => {
    const policy = policies.get(id);
    if (policy) return policy;
    throw new GatewayError("model_not_found", { model: id, known: [...policies.keys()] });
  };
  const allRewards = createRewards({
    loaded: given.rewards,
    configured: given.configuredRewards ?? {},
    speaker: (id) => createSpeaker(policyNamed(id), () => policyNamed(id)),
    clock: given.clock,
  });
  const parts = { ...given, rewards: allRewards.all };
  refuseDuplicates(parts);
  const presets = new Map(parts.presets.map((preset) => [preset.id, preset]));
  const rewards = new Map(parts.rewards.map((reward) => [reward.id, reward]));
  for (const { id, model, reward, holdout = null } of parts.presets) {
    if (!policies.has(model)) throw unknownName(`preset '${id}'`, "model", model, policies);
    for (const named of [reward, holdout]) {
      if (named === null || rewards.has(named)) continue;
      throw unknownName(`preset '${id}'`, "reward", named, rewards);
    }
  }
  const { defaultReward } = parts;
  if (defaultReward !== null && !rewards.has(defaultReward)) {
    throw unknownName("the default reward", "reward", defaultReward, rewards);
  }
  return {
    models: () => listCards({ ...parts, policies: [...policies.values()] }),
    model(id) {
      const preset = presets.get(id) ?? null;
      const policy = policies.get(preset?.model ?? id);
      if (policy) return { policy, preset };
      throw new GatewayError("model_not_found", {
        model: id,
        known: [...policies.keys(), ...presets.keys()],
      });
    },
    reward: (asked, where) => allRewards.get(asked, where),
    add(policy) {
      refuseDuplicates({ ...parts, policies: [...policies.values(), policy] });
      policies.set(policy.id, policy);
    },
    remove(id) {
      policies.delete(id);
    },
    presets: parts.presets,
    defaultReward: defaultReward === null ? null : rewards.get(defaultReward)!,
  };
}

function listCards({
  policies,
  presets,
  rewards,
  created,
}: Pick<RegistryParts, "policies" | "presets" | "rewards" | "created">): ModelCard[] {
  const ofPolicy = (policy: Policy): ModelCard => ({
    id: policy.id,
    created: policy.created,
    kind: "policy",
    revision: policy.revision,
    contextTokens: policy.contextTokens,
  });
  const policyOf = ({ model }: Preset) => policies.find(({ id }) => id === model)!;
  return [
    ...policies.map(ofPolicy),
    ...presets.map((preset): ModelCard => {
      return { ...ofPolicy(policyOf(preset)), id: preset.id, kind: "preset" };
    }),
    ...rewards.map(({ id, revision }): ModelCard => {
      return { id, created, kind: "reward", revision, contextTokens: null };
    }),
  ];
}

function refuseDuplicates({
  policies,
  presets,
  rewards,
}: Pick<RegistryParts, "policies" | "presets" | "rewards">): void {
  const ids = [...policies, ...presets, ...rewards].map(({ id }) => id);
  const twice = ids.find((id, at) => ids.indexOf(id) !== at);
  if (twice === undefined) return;
  const problem = `the id '${twice}' is given twice; policies, presets and rewards need different ids.`;
  throw new GatewayError("config_invalid", { source: "models", problem });
}

function unknownName(
  source: string,
  kind: "model" | "reward",
  name: string,
  known: ReadonlyMap<string, unknown>,
): GatewayError {
  const names = [...known.keys()].join(", ") || "none";
  const problem = `the ${kind} '${name}' does not exist. Known ${kind}s: ${names}.`;
  return new GatewayError("config_invalid", { source, problem });
}

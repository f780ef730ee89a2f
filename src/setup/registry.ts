/** What a configuration serves, by public id: models, rewards and presets. */
import { systemClock } from "../base/clock.ts";
import type { Config } from "../base/config.ts";
import { createRegistry, type Registry } from "../registry/registry.ts";
import type { Policy } from "../registry/types.ts";
import { limitsOf } from "../strategies/budget.ts";
import type { Models } from "./models.ts";

/**
 * Adapters included: they are loaded before there is a registry, since rewards and presets may name them; those that
 * come later join it.
 */
export async function openRegistry(config: Config, models: Models) {
  const early: Policy[] = [];
  let registry: Registry | null = null;
  const adapters = models.adapters({
    add(policy) {
      if (registry) registry.add(policy);
      else early.push(policy);
    },
    remove: (id) => registry?.remove(id),
  });
  for (const name of await adapters.available()) await adapters.load(name);
  registry = createRegistry({
    policies: [...models.policies, ...early],
    rewards: [models.reward],
    configuredRewards: config.rewards,
    presets: presetsOf(config, models.policy.id),
    defaultReward: models.reward.id,
    created: models.policy.created,
    clock: systemClock,
  });
  return { registry, adapters };
}

/** The configured presets; without any, best-of-16 of the policy, for clients that can send no extra field. */
function presetsOf(config: Config, model: string) {
  const named = Object.entries(config.presets).map(([id, preset]) => ({
    id,
    model: preset.model,
    strategy: preset.strategy,
    options: preset.options ?? {},
    reward: preset.reward ?? null,
    ...(preset.holdout !== undefined && { holdout: preset.holdout }),
    ...(preset.budget && { budget: limitsOf(preset.budget) }),
  }));
  if (named.length > 0) return named;
  return [
    { id: `${model}/best-of-16`, model, strategy: "best-of-n", options: { n: 16 }, reward: null },
  ];
}

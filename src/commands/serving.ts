/** Policies that commands serve in their own process, one after the other under one name. */
import type { OptionValues } from "commander";
import type { Config } from "../base/config.ts";
import type { Serve } from "../jobs/batch/serve.ts";
import type { OpenJudges } from "../jobs/training/online/train-online.ts";
import { openGateway } from "../setup/gateway.ts";
import { loadModels } from "../setup/models.ts";
import { openRegistry } from "../setup/registry.ts";

/** What of the configuration speaks of the reward that another one takes the place of. */
const onlyReward = {
  rewardLabel: "",
  rewardFile: "",
  rewardSteps: undefined,
  rewards: {},
  presets: {},
};

/** The id stays that of the first policy: presets and rewards that name it mean the current one. */
export function servingOf(config: Config, { reward: asked }: OptionValues): Serve {
  let id: string | undefined;
  return async (folder, rewardDir) => {
    const trained =
      folder === null ? {} : { policyDir: folder, policyOnnxFile: "", adaptersDir: "" };
    const own = rewardDir === undefined ? {} : { ...onlyReward, rewardDir };
    const settings = { ...config, ...trained, ...own };
    const models = await loadModels(settings, id);
    id = models.policy.id;
    try {
      const { registry, gateway } = await openGateway(settings, models, null);
      const isDefault =
        asked === undefined || asked === config.rewardDir || rewardDir !== undefined;
      const reward = isDefault ? models.reward : registry.reward(asked, "--reward");
      return {
        gateway,
        model: id,
        sequencesMax: config.sequencesMax + Math.min(config.sequencesMax, config.queueSequencesMax),
        policy: models.policy,
        reward: reward.id,
        rewardRevision: reward.revision,
        dispose: () => models.dispose(),
      };
    } catch (error) {
      await models.dispose();
      throw error;
    }
  };
}

/** What judges the policy in training, which is served among the configured models. */
export const judgesOf =
  (config: Config): OpenJudges =>
  async (own) => {
    const models = await loadModels(config, undefined, own).catch(async (error: unknown) => {
      await own.loaded.engine.dispose();
      throw error;
    });
    try {
      const { registry } = await openRegistry(config, models);
      return {
        reward: (asked) => (asked === null ? models.reward : registry.reward(asked, "--reward")),
        dispose: () => models.dispose(),
      };
    } catch (error) {
      await models.dispose();
      throw error;
    }
  };

/** Loads the configured policy and reward model into engines that share the machine. */
import { join } from "node:path";
import { systemClock } from "./base/clock.ts";
import type { Config } from "./base/config.ts";
import { GatewayError } from "./base/errors.ts";
import { chooseProvider } from "./engine/choose-provider.ts";
import { Turnstile } from "./engine/turnstile.ts";
import { openRuntime } from "./onnx/runtime/index.ts";
import { createAdapters } from "./registry/adapters.ts";
import { loadPolicy } from "./registry/load.ts";
import { loadReward } from "./registry/load-reward.ts";
import type { Registry } from "./registry/registry.ts";

/** Beside `src/` and `dist/` alike. */
const EMBEDDED = join(import.meta.dirname, "..", "models");

type ModelSettings = Pick<
  Config,
  | "policyDir"
  | "policyOnnxFile"
  | "rewardDir"
  | "policyFormat"
  | "rewardFormat"
  | "rewardLabel"
  | "rewardFile"
  | "rewardSteps"
  | "adaptersDir"
  | "draft"
  | "draftTokens"
  | "dataDir"
  | "cacheBytesMax"
  | "prefixBytesMax"
  | "device"
  | "threads"
  | "contextTokens"
  | "sequencesMax"
  | "queueSequencesMax"
>;

export type Models = Awaited<ReturnType<typeof loadModels>>;

/** @throws GatewayError checkpoint_invalid, architecture_unsupported, provider_unavailable */
export async function loadModels(config: ModelSettings) {
  const runtime = openRuntime();
  const { provider, refused } = await chooseProvider(runtime, config.device);
  const common = {
    runtime,
    provider,
    turnstile: new Turnstile(systemClock),
    cacheDir: join(config.dataDir, "quantized"),
    prefixBytesMax: config.prefixBytesMax,
    ...(config.threads ? { threads: config.threads } : {}),
  };
  const { sequencesMax, queueSequencesMax, contextTokens, cacheBytesMax } = config;
  const { draft, draftTokens } = config;
  if (draft && provider !== "cpu") {
    const problem = `draft: guesses are checked on the CPU only, and this machine serves on '${provider}'. Leave it out, or set device to cpu.`;
    throw new GatewayError("config_invalid", { source: "draft", problem });
  }
  const loaded = await loadPolicy({
    ...common,
    folder: config.policyDir || join(EMBEDDED, "tiny-chat"),
    onnxFile: config.policyOnnxFile,
    format: config.policyFormat,
    sequencesMax,
    queueSequencesMax,
    cacheBytesMax,
    contextTokens,
    draft,
    draftTokens,
  });
  const { reward, engine: rewardEngine } = await loadReward({
    ...common,
    folder: config.rewardDir || join(EMBEDDED, "tiny-reward"),
    format: config.rewardFormat,
    label: config.rewardLabel,
    file: config.rewardFile,
    steps: config.rewardSteps,
  });
  const { policy, engine } = loaded;
  return {
    provider: { name: provider, refused },
    policy,
    reward,
    /** Served beside the policy, by way of the registry. */
    adapters: (registry: Registry) =>
      createAdapters({ ...loaded, folder: config.adaptersDir, registry }),
    engineStats: () => engine.stats,
    rewardStats: () => rewardEngine.stats,
    async dispose() {
      await Promise.all([engine.dispose(), rewardEngine.dispose()]);
      runtime.dispose();
    },
  };
}

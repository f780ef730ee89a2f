/** Loads the configured policies and the reward model into engines that share the machine. */
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import type { Config } from "../base/config.ts";
import { GatewayError } from "../base/errors.ts";
import { chooseProvider } from "../engine/choose-provider.ts";
import type { EngineStats } from "../engine/engine.ts";
import { Turnstile } from "../engine/turnstile.ts";
import { openRuntime, type Runtime } from "../onnx/runtime/index.ts";
import { createAdapters } from "../registry/adapters.ts";
import { type LoadedPolicy, loadPolicy } from "../registry/load.ts";
import { loadReward } from "../registry/load-reward.ts";
import type { Registry } from "../registry/registry.ts";

/** Beside `src/` and `dist/` alike. */
const EMBEDDED = join(import.meta.dirname, "../..", "models");

type ModelSettings = Pick<
  Config,
  | "policyDir"
  | "policyOnnxFile"
  | "policies"
  | "rewardDir"
  | "policyFormat"
  | "rewardFormat"
  | "rewardLabel"
  | "rewardFile"
  | "rewardSteps"
  | "rewardPrefixes"
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

/** Where the policy's checkpoint is. */
export const policyFolder = ({ policyDir }: Pick<Config, "policyDir">): string =>
  policyDir || join(EMBEDDED, "tiny-chat");

/** A policy that somebody else has loaded, in place of the configured one. */
export interface OwnPolicy {
  readonly runtime: Runtime;
  readonly turnstile: Turnstile;
  readonly loaded: LoadedPolicy;
}

/**
 * @param policyId instead of the name of the policy's folder.
 * @param own its engine is disposed with the others, its runtime is not.
 * @throws GatewayError checkpoint_invalid, architecture_unsupported, provider_unavailable
 */
export async function loadModels(
  config: ModelSettings,
  policyId?: string,
  own: OwnPolicy | null = null,
) {
  const runtime = own?.runtime ?? openRuntime();
  const { provider, refused } = await chooseProvider(runtime, config.device);
  const common = {
    runtime,
    provider,
    turnstile: own?.turnstile ?? new Turnstile(systemClock),
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
  const limits = { sequencesMax, queueSequencesMax, cacheBytesMax, contextTokens };
  const configured = () =>
    loadPolicy({
      ...common,
      ...limits,
      ...(policyId !== undefined && { id: policyId }),
      folder: policyFolder(config),
      onnxFile: config.policyOnnxFile,
      format: config.policyFormat,
      draft,
      draftTokens,
    });
  const loaded = own?.loaded ?? (await configured());
  const further: LoadedPolicy[] = [];
  for (const [id, { dir, ...given }] of Object.entries(config.policies)) {
    further.push(await loadPolicy({ ...common, ...limits, ...given, id, folder: dir }));
  }
  const { reward, engine: rewardEngine } = await loadReward({
    ...common,
    folder: config.rewardDir || join(EMBEDDED, "tiny-reward"),
    format: config.rewardFormat,
    label: config.rewardLabel,
    file: config.rewardFile,
    steps: config.rewardSteps,
    acceptsPrefixes: config.rewardPrefixes,
  });
  const engines = [loaded, ...further].map(({ engine }) => engine);
  return {
    provider: { name: provider, refused },
    policy: loaded.policy,
    /** The main one first. */
    policies: [loaded, ...further].map(({ policy }) => policy),
    reward,
    /** Served beside the policy, by way of the registry. */
    adapters: (registry: Pick<Registry, "add" | "remove">) =>
      createAdapters({ ...loaded, folder: config.adaptersDir, registry }),
    /** Of all policies together. */
    engineStats: () => engines.map(({ stats }) => stats).reduce(addStats),
    rewardStats: () => rewardEngine.stats,
    async dispose() {
      await Promise.all([...engines, rewardEngine].map((engine) => engine.dispose()));
      if (own === null) runtime.dispose();
    },
  };
}

/** What two engines count. */
function addStats(a: EngineStats, b: EngineStats): EngineStats {
  return {
    waiting: a.waiting + b.waiting,
    running: a.running + b.running,
    slots: a.slots + b.slots,
    preemptions: a.preemptions + b.preemptions,
    cacheBytes: a.cacheBytes + b.cacheBytes,
    prefixes: {
      bytes: a.prefixes.bytes + b.prefixes.bytes,
      asked: a.prefixes.asked + b.prefixes.asked,
      found: a.prefixes.found + b.prefixes.found,
    },
    drafts: { tried: a.drafts.tried + b.drafts.tried, kept: a.drafts.kept + b.drafts.kept },
  };
}

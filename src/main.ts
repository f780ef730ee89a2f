/** The server: reads the configuration, constructs everything, listens, drains, exits. */
import { join } from "node:path";
import closeWithGrace from "close-with-grace";
import pino, { type Logger } from "pino";
import { systemClock } from "./base/clock.ts";
import type { Config } from "./base/config.ts";
import { createMetrics } from "./base/metrics.ts";
import { buildApp } from "./http/app.ts";
import { openGateway } from "./setup/gateway.ts";
import { loadModels } from "./setup/models.ts";
import { openStore } from "./store/store.ts";
import { version } from "./version.ts";

export interface Server {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves until told to stop by a signal, then drains and exits. */
export async function serve(config: Config): Promise<void> {
  const log = pino({ level: config.logLevel }, pino.destination(2));
  const server = await startServer(config, log);
  closeWithGrace({ delay: config.drainMsMax + 5_000, logger: log }, async ({ err, signal }) => {
    if (err) log.error(err, "stopping after an unexpected error");
    else log.info({ signal }, "stopping: running answers finish first");
    await server.close();
  });
}

/** @throws GatewayError when a model, the store or the port cannot be had. */
export async function startServer(config: Config, log: Logger): Promise<Server> {
  const clock = systemClock;
  const metrics = createMetrics();
  const store = await openStore({
    folder: join(config.dataDir, "store"),
    log: (line) => log.info(line),
    clock,
  });
  const models = await loadModels(config);
  log.info(models.provider, "models run on this provider");
  const { gateway } = await openGateway(config, models, store);
  metrics.onScrape(() => {
    const { waiting, running, slots, preemptions, prefixes, cacheBytes, drafts } =
      models.engineStats();
    metrics.draftTokens.set({ result: "kept" }, drafts.kept);
    metrics.draftTokens.set({ result: "dropped" }, drafts.tried - drafts.kept);
    metrics.preemptions.set(preemptions);
    metrics.cacheBytes.set(cacheBytes);
    for (const [model, kept] of [
      ["policy", prefixes],
      ["reward", models.rewardStats().prefixes],
    ] as const) {
      metrics.prefixBytes.set({ model }, kept.bytes);
      metrics.prefixTokens.set({ model, result: "found" }, kept.found);
      metrics.prefixTokens.set({ model, result: "computed" }, kept.asked - kept.found);
    }
    metrics.queueSequences.set(waiting);
    metrics.runningSequences.set(running);
    metrics.kvSlots.set({ state: "used" }, running);
    metrics.kvSlots.set({ state: "free" }, slots - running);
    const { waitingBytes, flushes, flushMs } = store.stats;
    metrics.logWaitingBytes.set(waitingBytes);
    metrics.logFlushes.set(flushes);
    metrics.logFlushSeconds.set(flushMs / 1000);
  });
  const app = await buildApp({ gateway, config, metrics, clock, log, version });
  const url = await app.listen({ host: config.host, port: config.port });
  log.info({ url, policy: models.policy.id, reward: models.reward.id }, "listening");
  return {
    url,
    async close() {
      await app.close();
      metrics.close();
      await models.dispose();
      await store.close();
    },
  };
}

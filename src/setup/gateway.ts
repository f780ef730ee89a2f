/** The gateway of a configuration, over models that are loaded. */
import { systemClock } from "../base/clock.ts";
import type { Config } from "../base/config.ts";
import { createGateway, type GatewayParts } from "../gateway/gateway.ts";
import { strategies } from "../strategies/index.ts";
import type { Models } from "./models.ts";
import { openRegistry } from "./registry.ts";

/** @param store null: nothing is logged. */
export async function openGateway(config: Config, models: Models, store: GatewayParts["store"]) {
  const { registry, adapters } = await openRegistry(config, models);
  const gateway = createGateway({ registry, adapters, strategies, store, clock: systemClock });
  return { registry, gateway };
}

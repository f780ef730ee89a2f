/** How long the event loop makes others wait while it streams many answers. The clients are a thread of their own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Worker } from "node:worker_threads";
import pino from "pino";
import { loadConfig } from "../src/base/config.ts";
import { startServer } from "../src/main.ts";

const WARM_UP_MS = 2_000;

/** @returns the 99th percentile of the delay, in milliseconds, without the timer's own period. */
export async function measureLoopDelay({
  streams,
  seconds,
}: {
  streams: number;
  seconds: number;
}): Promise<number> {
  const dataDir = await mkdtemp(join(tmpdir(), "plumbline-bench-"));
  const flags = { port: "0", dataDir, logLevel: "error" };
  const server = await startServer(
    loadConfig({ flags, environment: {} }),
    pino({ level: "error" }),
  );
  const clients = new Worker(new URL("stream-clients-worker.mjs", import.meta.url), {
    workerData: { url: server.url, streams, ms: WARM_UP_MS + seconds * 1000 },
  });
  const finished = new Promise<void>((resolve, reject) => {
    clients.once("exit", (code) =>
      code === 0 ? resolve() : reject(new Error(`clients ended with ${code}`)),
    );
    clients.once("error", reject);
  });
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
  const resolution = 1;
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  await finished;
  delay.disable();
  await server.close();
  await rm(dataDir, { recursive: true });
  return delay.percentile(99) / 1e6 - resolution;
}

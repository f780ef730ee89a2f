import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { openStore } from "../../src/store/store.ts";
import { requestRecord } from "../support/request-record.ts";

const writer = new URL("../support/store-writer.ts", import.meta.url).pathname;

/** Runs a writer and kills it `ms` after it has said a line that `matches`. @returns what it acknowledged. */
async function runAndKill(
  folder: string,
  prefix: string,
  matches: (line: string) => boolean,
  ms: number,
): Promise<string[]> {
  const tsx = import.meta.resolve("tsx");
  const child = spawn(process.execPath, ["--import", tsx, writer, folder, prefix]);
  const said: string[] = [];
  const errors: string[] = [];
  child.stderr.on("data", (bytes) => errors.push(String(bytes)));
  const exited = once(child, "exit");
  const seen = new Promise<void>((resolve) => {
    createInterface(child.stdout).on("line", (line) => {
      said.push(line);
      if (matches(line)) resolve();
    });
  });
  await Promise.race([seen, exited]);
  await wait(ms);
  child.kill("SIGKILL");
  await exited;
  if (child.signalCode !== "SIGKILL") throw new Error(`the writer failed: ${errors.join("")}`);
  return said.filter((line) => line !== "ready");
}

test("kill -9 at ten moments loses no acknowledged record, and repeats none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kill-"));
  const random = createRandom(7);
  const acknowledged: string[] = [];
  for (let life = 0; life < 10; life++) {
    // Most of them early, while the database starts; some while the log is copied into it.
    const matches = life % 3 === 2 ? (line: string) => line === "ready" : () => true;
    acknowledged.push(...(await runAndKill(folder, `${life}`, matches, random.integer(250))));
  }
  expect(acknowledged.length).toBeGreaterThan(100);

  const store = await openStore({ folder, log: () => {} });
  const found = new Map<string, number>();
  for (let before: string | undefined; ; ) {
    const page = await store.requests({ limit: 1000, ...(before === undefined ? {} : { before }) });
    for (const record of page) {
      found.set(record.id, (found.get(record.id) ?? 0) + 1);
      expect(record).toEqual(requestRecord(record.id));
    }
    before = page.at(-1)?.id;
    if (before === undefined) break;
  }
  expect(acknowledged.filter((id) => found.get(id) !== 1)).toEqual([]);
  expect(await store.count()).toBe(found.size);
  await store.close();
  await rm(folder, { recursive: true });
}, 600_000);

/** `plumbline data export`: the log of requests as lines, to train on. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { writeFileAtomically } from "../base/atomic-file.ts";
import { GatewayError } from "../base/errors.ts";
import { readLog } from "../store/read-log.ts";
import { refuseExisting } from "./data-files.ts";

export function addLogExport(group: Command): void {
  group
    .command("export")
    .description("write the log of requests as lines, for inspect, convert and split")
    .argument("<folder>", "that a server wrote its data to, and that none uses now")
    .requiredOption("--out <file>", "of lines, .jsonl; must not exist")
    .action(exportLog);
}

async function exportLog(folder: string, { out }: { readonly out: string }): Promise<void> {
  await refuseExisting("--out", out);
  const counted = { requests: 0 };
  await writeFileAtomically(out, linesOf(await storeIn(folder), counted));
  console.log(`${out}: ${counted.requests} requests`);
}

async function* linesOf(store: string, counted: { requests: number }): AsyncGenerator<string> {
  for await (const json of readLog(store, (line) => console.error(line))) {
    counted.requests++;
    yield `${json}\n`;
  }
}

/** Reading a folder would make a log in it. @throws GatewayError invalid_request when it has none. */
async function storeIn(folder: string): Promise<string> {
  const path = join(folder, "store");
  const found = await stat(join(path, "log")).catch(() => null);
  if (found?.isDirectory()) return path;
  const problem = `${folder} has no log of requests; name the folder that the setting dataDir names`;
  throw new GatewayError("invalid_request", { param: "folder", problem });
}

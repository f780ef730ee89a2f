/** Reads the log of requests from beginning to end, without the database: for exports, while no server has the folder. */
import { join } from "node:path";
import { lockFolder } from "./folder-lock.ts";
import { requestKind } from "./importer.ts";
import { openSpool } from "./spool.ts";

const batchBytesMax = 4 * 2 ** 20;

/**
 * The oldest record first, each as the JSON that was logged: `requestFromJson` reads it.
 * @param folder of a store. NOTE: one that does not exist is made.
 * @param log one line for the operator, such as of a damaged end that was cut off.
 * @throws GatewayError store_locked, store_failed, log_corrupt
 */
export async function* readLog(
  folder: string,
  log: (line: string) => void,
): AsyncGenerator<string> {
  const lock = await lockFolder(folder);
  try {
    const spool = await openSpool({ folder: join(folder, "log"), log });
    try {
      for (let at = spool.start; ; ) {
        const { records, next } = await spool.read(at, batchBytesMax);
        if (records.length === 0) return;
        for (const { kind, json } of records) if (kind === requestKind) yield json;
        at = next;
      }
    } finally {
      await spool.close();
    }
  } finally {
    await lock.release();
  }
}

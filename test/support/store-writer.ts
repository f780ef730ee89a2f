/**
 * A process that logs as fast as it can until it is killed: `<id>` per acknowledged record, `ready` once the database
 * is. Arguments: folder, prefix of the ids.
 */
import { openStore } from "../../src/store/store.ts";
import { requestRecord } from "./request-record.ts";

const [folder, prefix] = process.argv.slice(2);
const say = (line: string) => process.stdout.write(`${line}\n`);
const store = await openStore({
  folder: folder!,
  log: (line) => process.stderr.write(`${line}\n`),
});
void store.flush().then(() => say("ready"));

let next = 0;
async function write(): Promise<never> {
  for (;;) {
    const id = `${prefix}-${next++}`;
    await store.append(requestRecord(id));
    say(id);
  }
}
await Promise.all([write(), write()]);

/**
 * The embedded database's folder, and when not to trust it. PGlite does not flush, so a power cut may leave it damaged
 * in ways nobody notices. The log has every record: when in doubt the folder is set aside and a new one is filled.
 *
 * `<folder>.open` names the machine's boot that the database was opened in, and is removed after a clean
 * close has flushed every file: found with another boot's name, the machine went down in between.
 */
import { open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { uptime } from "node:os";
import { dirname, join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { type Database, openEmbedded } from "./database.ts";
import { toErrno } from "./files.ts";
import { migrate } from "./migrations.ts";

export interface DatabaseFolderOptions {
  folder: string;
  clock: Clock;
  log: (line: string) => void;
  /** Gives the opening up. */
  signal: AbortSignal;
}

/** Opens the embedded database with its schema up to date. @throws GatewayError database_failed */
export async function openDatabaseFolder(options: DatabaseFolderOptions): Promise<Database> {
  const { folder, clock, log } = options;
  const marker = `${folder}.open`;
  const boot = await bootName(clock);
  const openedIn = await readIfThere(marker);
  if (openedIn !== null && openedIn !== boot && (await exists(folder))) {
    const aside = await setAside(folder);
    log(`${folder}: the machine went down with it open; kept as ${aside}, and built again`);
  }
  await writeDurably(marker, boot);
  const database = await openOrReplace(options);
  try {
    await migrate(database, folder);
  } catch (error) {
    await database.close();
    throw error;
  }
  return {
    query: (sql, params) => database.query(sql, params),
    apply: (statements) => database.apply(statements),
    async close() {
      await database.close();
      await flushFolder(folder);
      await rm(marker);
      await flush(dirname(folder));
    },
  };
}

/** A folder that does not open although a new one does is damaged, or of another PostgreSQL version. */
async function openOrReplace({ folder, log, signal }: DatabaseFolderOptions): Promise<Database> {
  const existed = await exists(folder);
  try {
    return await openEmbedded(folder, signal);
  } catch (error) {
    if (!existed || signal.aborted) throw error;
    const aside = await setAside(folder);
    try {
      const database = await openEmbedded(folder, signal);
      log(
        `${folder}: could not be opened (${toErrno(error).message}); kept as ${aside}, and built again`,
      );
      return database;
    } catch {
      // A new one does not open either, so the old one was not the cause: the first error is the telling one.
      await rm(folder, { recursive: true, force: true });
      await rename(aside, folder);
      throw error;
    }
  }
}

/** One is kept, for whoever wants to know what happened. */
async function setAside(folder: string): Promise<string> {
  const aside = `${folder}.aside`;
  await rm(aside, { recursive: true, force: true });
  await rename(folder, aside);
  return aside;
}

/** Changes with every start of the machine; elsewhere than on Linux to the minute. */
async function bootName(clock: Clock): Promise<string> {
  const id = await readIfThere("/proc/sys/kernel/random/boot_id");
  return id?.trim() ?? `booted at minute ${Math.round((clock.now() / 1000 - uptime()) / 60)}`;
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (toErrno(error).code === "ENOENT") return null;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (toErrno(error).code === "ENOENT") return false;
    throw error;
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await flush(dirname(path));
}

async function flushFolder(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries) {
    const path = join(folder, entry.name);
    await (entry.isDirectory() ? flushFolder(path) : flushIfThere(path));
  }
  await flush(folder);
}

/** PostgreSQL deletes the files of replaced tables late; one that is gone by now has nothing to flush. */
async function flushIfThere(path: string): Promise<void> {
  try {
    await flush(path);
  } catch (error) {
    if (toErrno(error).code !== "ENOENT") throw error;
  }
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

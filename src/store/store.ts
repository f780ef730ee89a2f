/**
 * The log of requests and candidates. `append` waits for the log file only; the database behind it opens and fills in
 * the background, and every read first brings it up to what was acknowledged.
 */
import { join } from "node:path";
import { InvariantError } from "../base/assert.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { GatewayError } from "../base/errors.ts";
import { type Database, databaseFailure } from "./database.ts";
import { openDatabaseFolder } from "./database-folder.ts";
import { diskFiles, type LogFiles, storeFailure, toErrno } from "./files.ts";
import { type FolderLock, lockFolder } from "./folder-lock.ts";
import { forget, importBatch, importedPosition, isBefore, requestKind } from "./importer.ts";
import { requestToJson } from "./record-json.ts";
import { countRequests, findRequest, listRequests, type Page } from "./requests.ts";
import { openSpool, type Position, type Spool, type SpoolStats } from "./spool.ts";
import type { RequestRecord } from "./types.ts";

export interface StoreOptions {
  folder: string;
  /** One line for the operator. */
  log: (line: string) => void;
  segmentBytesMax?: number;
  waitingBytesMax?: number;
  /** Oldest whole files are deleted beyond this, with their rows; absent: nothing ever is. */
  retentionBytesMax?: number;
  files?: LogFiles;
  clock?: Clock;
}

export interface StoreStats extends SpoolStats {
  database: "opening" | "ready" | "failed" | "closed";
  /** Why the last import failed; null when it did not. */
  databaseError: string | null;
  /** Records copied into the database since the store was opened. */
  importedRecords: number;
  /** Whether everything acknowledged is in the database. */
  caughtUp: boolean;
}

export interface Store {
  /** Resolves when the record survives a power cut. @throws GatewayError store_failed, store_busy */
  append(record: RequestRecord): Promise<void>;
  /** Reads see every acknowledged record. @throws GatewayError database_failed */
  request(id: string): Promise<RequestRecord | null>;
  /** Newest first. */
  requests(page: Page): Promise<RequestRecord[]>;
  count(): Promise<number>;
  /** Resolves when everything acknowledged before the call is in the database. */
  flush(): Promise<void>;
  close(): Promise<void>;
  readonly stats: StoreStats;
}

/** @throws GatewayError store_locked, store_failed, log_corrupt */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { folder, files = diskFiles } = options;
  await files.makeFolder(folder).catch((error: unknown) => {
    throw storeFailure(folder, error);
  });
  const lock = await lockFolder(folder);
  try {
    const spool = await openSpool({ ...options, folder: join(folder, "log") });
    return new EmbeddedStore(options, lock, spool);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** A pause lets many records share one import. */
const importDelayMs = 300;
const retryDelayMs = 30_000;

class EmbeddedStore implements Store {
  readonly #options: StoreOptions;
  readonly #clock: Clock;
  readonly #lock: FolderLock;
  readonly #spool: Spool;
  #database: Database | null = null;
  /** All before it is in the database; null until that is known. */
  #imported: Position | null = null;
  #importedRecords = 0;
  #error: Error | null = null;
  #step: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Aborted by `close`: an opening database is given up. */
  readonly #closing = new AbortController();
  #closed: Promise<void> | null = null;

  constructor(options: StoreOptions, lock: FolderLock, spool: Spool) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#lock = lock;
    this.#spool = spool;
    this.#schedule(0);
  }

  async append(record: RequestRecord): Promise<void> {
    await this.#spool.append(requestKind, requestToJson(record));
    this.#schedule(this.#error === null ? importDelayMs : retryDelayMs);
  }

  async request(id: string) {
    return findRequest(await this.#current(), id);
  }

  async requests(page: Page) {
    return listRequests(await this.#current(), page);
  }

  async count() {
    return countRequests(await this.#current());
  }

  async flush() {
    await this.#current();
  }

  get stats(): StoreStats {
    const imported = this.#imported;
    return {
      ...this.#spool.stats,
      database: this.#databaseState(),
      databaseError: this.#error?.message ?? null,
      importedRecords: this.#importedRecords,
      caughtUp: imported !== null && !isBefore(imported, this.#spool.end),
    };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    if (this.#timer) clearTimeout(this.#timer);
    await this.#spool.close();
    await this.#step?.catch(() => {}); // it has been reported in `stats` and in the log
    await this.#database?.close();
    await this.#lock.release();
  }

  #databaseState(): StoreStats["database"] {
    if (this.#closing.signal.aborted) return "closed";
    if (this.#error) return "failed";
    return this.#database ? "ready" : "opening";
  }

  /** The database, with everything that was acknowledged before the call. */
  async #current(): Promise<Database> {
    const target = this.#spool.end;
    for (;;) {
      if (this.#closing.signal.aborted) throw new GatewayError("shutting_down", {});
      const [database, imported] = [this.#database, this.#imported];
      if (database && imported && !isBefore(imported, target)) return database;
      this.#step ??= this.#advance().finally(() => {
        this.#step = null;
      });
      await this.#step;
    }
  }

  /** One step: open the database, or copy one batch. After a failure the next step opens it anew. */
  async #advance(): Promise<void> {
    const { folder, log } = this.#options;
    try {
      if (!this.#database || !this.#imported) {
        this.#database = await openDatabaseFolder({
          folder: join(folder, "database"),
          clock: this.#clock,
          log,
          signal: this.#closing.signal,
        });
        this.#imported = await importedPosition(this.#database, this.#spool, log);
      } else {
        const { next, records } = await importBatch(this.#database, this.#spool, this.#imported);
        this.#imported = next;
        this.#importedRecords += records;
        await this.#applyRetention(this.#database, next);
      }
      this.#error = null;
    } catch (cause) {
      const error = isOurs(cause)
        ? cause
        : databaseFailure(join(folder, "database"), toErrno(cause).message, cause);
      await this.#fail(error);
      throw error;
    }
  }

  async #fail(error: Error): Promise<void> {
    this.#error = error;
    if (!this.#closing.signal.aborted)
      this.#options.log(`importing the log into the database: ${error.message}`);
    const database = this.#database;
    this.#database = null;
    this.#imported = null;
    // It may be the very thing that failed; the next one recovers what this one leaves.
    await database?.close().catch(() => {});
  }

  async #applyRetention(database: Database, imported: Position): Promise<void> {
    const { retentionBytesMax = Number.POSITIVE_INFINITY } = this.#options;
    let bytes = this.#spool.stats.bytes;
    let last: number | null = null;
    for (const sealed of this.#spool.sealed) {
      if (bytes <= retentionBytesMax || sealed.number >= imported.segment) break;
      bytes -= sealed.bytes;
      last = sealed.number;
    }
    if (last !== null) await forget(database, this.#spool, last);
  }

  #schedule(delayMs: number): void {
    if (this.#timer || this.#closing.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      // `#fail` has reported it; the next append schedules another attempt, a read makes one at once.
      this.#current().catch(() => {});
    }, delayMs);
    this.#timer.unref();
  }
}

const isOurs = (error: unknown) => error instanceof GatewayError || error instanceof InvariantError;

/**
 * A database that speaks PostgreSQL's dialect. Embedded: PGlite in a worker thread, because it computes
 * on the thread that calls it. It has no folder lock (the store's lock covers it) and never flushes to
 * the disk (the log does): after a power cut it may be damaged, see `database-folder.ts`.
 */
import { Worker } from "node:worker_threads";
import { GatewayError } from "../base/errors.ts";
import type { DatabaseCall, DatabaseReply, DatabaseRequest } from "./database-worker.ts";

export interface Statement {
  sql: string;
  /** $1, $2, …; text, numbers, booleans, null. Pass JSON as text. */
  params?: readonly (string | number | boolean | null)[];
}

export interface Database {
  /** @throws DatabaseError for what the database refuses, GatewayError database_failed if it is gone. */
  query<Row extends object>(sql: string, params?: Statement["params"]): Promise<readonly Row[]>;
  /** All statements or none of them. */
  apply(statements: readonly Statement[]): Promise<void>;
  close(): Promise<void>;
}

/** The database's own refusal: a wrong statement or value. */
export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
  /** SQLSTATE, "" if unknown. */
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

/** For whoever runs the server. */
export function databaseFailure(folder: string, problem: string, cause?: unknown): GatewayError {
  const remedy =
    "Nothing is lost: the log has every record. The next read tries again; removing the folder has it built anew.";
  return new GatewayError("database_failed", { folder, problem, remedy }, { cause });
}

interface Pending {
  resolve: (rows: readonly object[]) => void;
  reject: (error: Error) => void;
}

/**
 * Opens or creates the embedded database; 0.3 to 5 s, unless the signal ends it. The next opening recovers
 * what an interrupted one leaves.
 * @throws GatewayError database_failed
 */
export async function openEmbedded(folder: string, signal: AbortSignal): Promise<Database> {
  signal.throwIfAborted();
  const worker = startWorker();
  const interrupt = () => void worker.terminate();
  signal.addEventListener("abort", interrupt);
  const pending = new Map<number, Pending>();
  let gone: GatewayError | null = null;
  let nextId = 0;

  const fail = (problem: string, cause?: unknown) => {
    gone ??= databaseFailure(folder, problem, cause);
    for (const { reject } of pending.values()) reject(gone);
    pending.clear();
  };
  worker.on("error", (error) => fail(String(error), error));
  worker.on("exit", (code) => fail(`its worker ended with code ${code}`));
  worker.on("message", (reply: DatabaseReply) => {
    const call = pending.get(reply.id);
    pending.delete(reply.id);
    if ("rows" in reply) call?.resolve(reply.rows);
    else call?.reject(new DatabaseError(reply.message, reply.code));
  });

  const send = (request: DatabaseCall): Promise<readonly object[]> =>
    new Promise((resolve, reject) => {
      if (gone) return reject(gone);
      const id = nextId++;
      pending.set(id, { resolve, reject });
      worker.postMessage({ ...request, id } satisfies DatabaseRequest);
    });

  try {
    await send({ call: "open", folder });
  } catch (error) {
    await worker.terminate();
    if (error instanceof DatabaseError) fail(error.message, error);
    throw gone ?? error;
  } finally {
    signal.removeEventListener("abort", interrupt);
  }
  return {
    async query<Row extends object>(sql: string, params: Statement["params"] = []) {
      // Boundary: the statement decides the shape of its rows.
      return (await send({ call: "query", statement: { sql, params } })) as readonly Row[];
    },
    apply: async (statements) => void (await send({ call: "apply", statements })),
    async close() {
      try {
        if (!gone) await send({ call: "close" });
      } finally {
        await worker.terminate();
      }
    },
  };
}

/** From the compiled file, or from the sources: there Node needs tsx, which a worker does not inherit. */
function startWorker(): Worker {
  const here = import.meta.url;
  if (!here.endsWith(".ts")) return new Worker(new URL("./database-worker.js", here));
  const tsx = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const file = JSON.stringify(new URL("./database-worker.ts", here).href);
  const boot = `import(${tsx}).then(({ tsImport }) => tsImport(${file}, ${JSON.stringify(here)}))`;
  return new Worker(boot, { eval: true });
}

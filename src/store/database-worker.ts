/** The thread that PGlite runs on: one call after the other, in the order they came. */
import { parentPort } from "node:worker_threads";
import { PGlite } from "@electric-sql/pglite";
import { assert } from "../base/assert.ts";
import type { Statement } from "./database.ts";

export type DatabaseCall =
  | { call: "open"; folder: string }
  | { call: "query"; statement: Statement }
  | { call: "apply"; statements: readonly Statement[] }
  | { call: "close" };

export type DatabaseRequest = DatabaseCall & { id: number };

export type DatabaseReply =
  | { id: number; rows: readonly object[] }
  | { id: number; message: string; code: string };

const port = parentPort;
assert(port, "database-worker.ts runs in a worker thread.");
let database: PGlite | null = null;
let last: Promise<void> = Promise.resolve();

port.on("message", (request: DatabaseRequest) => {
  last = last.then(async () => port.postMessage(await answer(request)));
});

async function answer(request: DatabaseRequest): Promise<DatabaseReply> {
  const { id } = request;
  try {
    return { id, rows: await execute(request) };
  } catch (error) {
    // Boundary: PGlite throws PostgreSQL's errors (with an SQLSTATE) and Emscripten's (any value).
    const { message, code } = error as { message?: unknown; code?: unknown };
    return { id, message: String(message ?? error), code: typeof code === "string" ? code : "" };
  }
}

async function execute(request: DatabaseCall): Promise<readonly object[]> {
  if (request.call === "open") {
    database = await PGlite.create(request.folder);
    return [];
  }
  assert(database, "The database is opened first.");
  switch (request.call) {
    case "query": {
      const { sql, params = [] } = request.statement;
      return (await database.query<object>(sql, [...params])).rows;
    }
    case "apply":
      await database.transaction(async (transaction) => {
        for (const { sql, params = [] } of request.statements) {
          await transaction.query(sql, [...params]);
        }
      });
      return [];
    case "close":
      await database.close();
      return [];
  }
}

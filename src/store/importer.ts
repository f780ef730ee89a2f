/**
 * Copies the log into the database, in order and in batches. The position reached is written in the same transaction
 * as the rows, so a crash at any moment repeats nothing and skips nothing. The first record with an id wins.
 */
import { GatewayError } from "../base/errors.ts";
import type { Database, Statement } from "./database.ts";
import { databaseSafe } from "./record-json.ts";
import type { Position, Spool } from "./spool.ts";

export const requestKind = "request/1";

interface SavedPosition extends Position {
  logId: string;
}

const batchBytesMax = 1 << 20;

const insertRequests = `
  with batch as (
    select distinct on (id) *
    from rows from (json_to_recordset($1::json) as (
      id text, "createdAt" float8, route text, model text, "policyRevision" text, "rewardRevision" text,
      strategy text, "strategyOptions" jsonb, sampling jsonb, seed bigint, messages jsonb,
      "promptTokens" int[], candidates json, outcome text, error text, cost jsonb, "user" text, metadata jsonb
    )) with ordinality as record
    order by id, ordinality
  ), added as (
    insert into requests
    select id, to_timestamp("createdAt" / 1000), route, model, "policyRevision", "rewardRevision",
      strategy, "strategyOptions", sampling, seed, messages, "promptTokens", outcome, error,
      (cost->>'tokens')::float8, (cost->>'rewardCalls')::float8, (cost->>'ms')::float8, "user", metadata, $2::int
    from batch order by ordinality
    on conflict (id) do nothing
    returning id
  )
  insert into candidates
  select batch.id, candidate.*
  from added join batch using (id), json_to_recordset(batch.candidates) as candidate (
    index int, tokens int[], logprobs float8[], text text, "finishReason" text, rewards jsonb, chosen boolean,
    source jsonb, "rewardFlags" jsonb)`;

const savePosition = `
  insert into meta (key, value) values ('imported', $1)
  on conflict (key) do update set value = excluded.value`;

/** Where the import goes on. The database's rows are never undone, whatever became of the log. */
export async function importedPosition(
  database: Database,
  spool: Spool,
  log: (line: string) => void,
): Promise<Position> {
  const [row] = await database.query<{ value: string }>(
    "select value::text as value from meta where key = 'imported'",
  );
  if (row === undefined) return spool.start;
  // Boundary: what `importBatch` saved.
  const { logId, segment, offset } = JSON.parse(row.value) as SavedPosition;
  const saved = { segment, offset };
  if (logId !== spool.logId) {
    log("the log is another one than the database was filled from; its records are added");
    return spool.start;
  }
  if (isBefore(spool.end, saved)) {
    log("the database has records that the log has lost; new ones are added behind them");
    return spool.end;
  }
  if (saved.segment < spool.start.segment) {
    log(`the log now begins with file ${spool.start.segment}; the import goes on there`);
    return spool.start;
  }
  return saved;
}

/** @returns the position after the batch, and its records; the same position at the end of the log. */
export async function importBatch(
  database: Database,
  spool: Spool,
  from: Position,
): Promise<{ next: Position; records: number }> {
  const { records, next } = await spool.read(from, batchBytesMax);
  if (records.length === 0) return { next, records: 0 };
  for (const { kind } of records) if (kind !== requestKind) throw unknownKind(kind);
  const rows = `[${records.map(({ json }) => databaseSafe(json)).join(",")}]`;
  const saved: SavedPosition = { logId: spool.logId, ...next };
  const statements: Statement[] = [
    { sql: insertRequests, params: [rows, next.segment] },
    { sql: savePosition, params: [JSON.stringify(saved)] },
  ];
  await database.apply(statements);
  return { next, records: records.length };
}

/** Deletes, from the database and then from the disk, the files up to and with this number. */
export async function forget(database: Database, spool: Spool, number: number): Promise<void> {
  await database.apply([{ sql: "delete from requests where log_segment <= $1", params: [number] }]);
  await spool.removeThrough(number);
  await database.query("vacuum"); // PGlite has no background process that would give the space back
}

export function isBefore(a: Position, b: Position): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.offset < b.offset);
}

function unknownKind(kind: string): GatewayError {
  return new GatewayError("database_failed", {
    folder: "the data folder",
    problem: `the log has a record of the kind ${kind}, which this program does not know`,
    remedy: "Run the newer program that wrote it.",
  });
}

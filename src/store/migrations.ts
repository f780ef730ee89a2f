/**
 * The database's schema, as numbered steps that are applied once, each in one transaction, and never
 * edited after a release. PostgreSQL's dialect; in TypeScript because the compiler copies no .sql files.
 */
import { GatewayError } from "../base/errors.ts";
import type { Database } from "./database.ts";

interface Migration {
  name: string;
  statements: readonly string[];
}

const migrations: readonly Migration[] = [
  {
    name: "requests and candidates",
    statements: [
      `create table meta (key text primary key, value jsonb not null)`,
      `create table requests (
         id text primary key,
         created_at timestamptz not null,
         route text not null,
         model text not null,
         policy_revision text not null,
         reward_revision text,
         strategy text not null,
         strategy_options jsonb not null,
         sampling jsonb not null,
         seed bigint not null,
         messages jsonb,
         prompt_tokens int[] not null,
         outcome text not null check (outcome in ('completed', 'cancelled', 'failed')),
         error text,
         cost_tokens float8 not null,
         cost_reward_calls float8 not null,
         cost_ms float8 not null,
         user_id text,
         metadata jsonb,
         log_segment int not null
       )`,
      `create index requests_created_at on requests (created_at, id)`,
      `create index requests_model on requests (model, created_at)`,
      `create index requests_log_segment on requests (log_segment)`,
      `create table candidates (
         request_id text not null references requests (id) on delete cascade,
         index int not null,
         tokens int[] not null,
         logprobs float8[] not null,
         text text not null,
         finish_reason text not null check (finish_reason in ('stop', 'length', 'cancelled', 'error')),
         rewards jsonb not null,
         chosen boolean not null,
         primary key (request_id, index)
       )`,
    ],
  },
  {
    name: "what drew a candidate",
    statements: ["alter table candidates add column source jsonb"],
  },
  {
    name: "how a reward came about",
    statements: ["alter table candidates add column reward_flags jsonb"],
  },
];

/** Brings the schema up to date. @throws GatewayError database_failed for a newer database. */
export async function migrate(database: Database, folder: string): Promise<void> {
  await database.apply([
    {
      sql: `create table if not exists migrations (
              version int primary key, name text not null, applied_at timestamptz not null default now())`,
    },
  ]);
  const [row] = await database.query<{ version: number }>(
    "select coalesce(max(version), 0) as version from migrations",
  );
  const version = row!.version;
  if (version > migrations.length) {
    throw new GatewayError("database_failed", {
      folder,
      problem: `its schema has version ${version}, this program knows ${migrations.length}`,
      remedy: "Run the newer program, or remove the folder: it is built again from the log.",
    });
  }
  for (const [index, { name, statements }] of migrations.entries()) {
    if (index < version) continue;
    await database.apply([
      ...statements.map((sql) => ({ sql })),
      { sql: "insert into migrations (version, name) values ($1, $2)", params: [index + 1, name] },
    ]);
  }
}

/** Reads logged requests back, each as one JSON document in the shape of the log's record. */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { Database } from "./database.ts";
import { requestFromJson } from "./record-json.ts";
import type { RequestRecord } from "./types.ts";

export interface Page {
  limit: number;
  /** Id of the last request of the page before; absent for the newest requests. */
  before?: string;
}

const limitMax = 1000;

const document = `
  json_build_object(
    'id', r.id, 'createdAt', round(extract(epoch from r.created_at) * 1000), 'route', r.route,
    'model', r.model, 'policyRevision', r.policy_revision, 'rewardRevision', r.reward_revision,
    'strategy', r.strategy, 'strategyOptions', r.strategy_options, 'sampling', r.sampling,
    'seed', r.seed, 'messages', r.messages, 'promptTokens', r.prompt_tokens,
    'candidates', coalesce(
      (select json_agg(json_build_object(
         'index', c.index, 'tokens', c.tokens, 'logprobs', c.logprobs, 'text', c.text,
         'finishReason', c.finish_reason, 'rewards', c.rewards, 'chosen', c.chosen, 'source', c.source,
         'rewardFlags', c.reward_flags) order by c.index)
       from candidates c where c.request_id = r.id), '[]'),
    'outcome', r.outcome, 'error', r.error,
    'cost', json_build_object('tokens', r.cost_tokens, 'rewardCalls', r.cost_reward_calls, 'ms', r.cost_ms),
    'user', r.user_id, 'metadata', r.metadata)::text as document`;

interface Row {
  document: string;
}

export async function findRequest(database: Database, id: string): Promise<RequestRecord | null> {
  const sql = `select ${document} from requests r where r.id = $1`;
  const [row] = await database.query<Row>(sql, [id]);
  return row === undefined ? null : requestFromJson(row.document);
}

/** The newest first. @throws GatewayError invalid_request when `before` is unknown. */
export async function listRequests(
  database: Database,
  { limit, before }: Page,
): Promise<RequestRecord[]> {
  assert(limit >= 1 && limit <= limitMax, `A page has 1 to ${limitMax} requests, not ${limit}.`);
  if (before !== undefined) await checkCursor(database, before);
  const older = "where (created_at, id) < (select created_at, id from requests where id = $2)";
  // The page is cut first, so that documents are built for its rows only.
  const sql = `
    select ${document}
    from (select * from requests ${before === undefined ? "" : older}
          order by created_at desc, id desc limit $1) r
    order by r.created_at desc, r.id desc`;
  const rows = await database.query<Row>(sql, before === undefined ? [limit] : [limit, before]);
  return rows.map((row) => requestFromJson(row.document));
}

export async function countRequests(database: Database): Promise<number> {
  const [row] = await database.query<{ n: number }>("select count(*)::float8 as n from requests");
  return row!.n;
}

async function checkCursor(database: Database, id: string): Promise<void> {
  const rows = await database.query("select 1 from requests where id = $1", [id]);
  if (rows.length > 0) return;
  throw new GatewayError("invalid_request", {
    param: "before",
    problem: `no logged request has the id '${id}'`,
  });
}

/**
 * The one table of errors that somebody else can act on: code → HTTP status → sentence with the
 * values and the remedy. Everything else is a bug (`assert`). `http/errors.ts` is the only translator.
 */

interface ErrorEntry<P> {
  /** HTTP status, also what the command line's exit code derives from. */
  status: number;
  /** The request field at fault, in OpenAI's `param`. */
  param?: (p: P) => string | null;
  /** Seconds for `Retry-After`. */
  retryAfter?: (p: P) => number;
  text: (p: P) => string;
}

const entry = <P>(value: ErrorEntry<P>): ErrorEntry<P> => value;
const list = (names: readonly string[]) => names.join(", ") || "none";
const gib = (bytes: number) =>
  bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;

export const errorTable = {
  // requests
  invalid_request: entry<{ param: string | null; problem: string }>({
    status: 400,
    param: (p) => p.param,
    text: (p) =>
      p.param ? `Invalid '${p.param}': ${p.problem}.` : `Invalid request: ${p.problem}.`,
  }),
  invalid_json: entry<{ problem: string }>({
    status: 400,
    text: (p) => `The body is not valid JSON (${p.problem}). Send one JSON object, UTF-8 encoded.`,
  }),
  body_too_large: entry<{ limitBytes: number }>({
    status: 413,
    text: (p) =>
      `The body is larger than ${p.limitBytes} bytes. Shorten it, or raise PLUMBLINE_BODY_BYTES_MAX.`,
  }),
  unsupported_media_type: entry<{ contentType: string }>({
    status: 415,
    text: (p) => `Content type '${p.contentType}' is not supported. Send application/json.`,
  }),
  route_not_found: entry<{ method: string; path: string }>({
    status: 404,
    text: (p) => `No route ${p.method} ${p.path}. GET /openapi.json lists them all.`,
  }),
  unauthorized: entry<Record<never, never>>({
    status: 401,
    text: () => "Missing or unknown API key. Send 'Authorization: Bearer <key>'.",
  }),
  origin_refused: entry<{ origin: string; host: string }>({
    status: 403,
    text: (p) =>
      `A page of ${p.origin} may not open a socket on ${p.host}. Serve the page from here, or connect without a browser.`,
  }),
  upgrade_required: entry<Record<never, never>>({
    status: 426,
    text: () => "This route speaks WebSocket only. Connect with 'Upgrade: websocket'.",
  }),
  model_not_found: entry<{ model: string; known: readonly string[] }>({
    status: 404,
    param: () => "model",
    text: (p) => `The model '${p.model}' does not exist. Known models: ${list(p.known)}.`,
  }),
  adapter_not_found: entry<{ adapter: string; known: readonly string[] }>({
    status: 404,
    param: () => "name",
    text: (p) =>
      `There is no adapter '${p.adapter}'. Known: ${list(p.known)}. Put its folder into the one that the setting adaptersDir names.`,
  }),
  adapter_exists: entry<{ adapter: string }>({
    status: 409,
    param: () => "name",
    text: (p) => `The adapter '${p.adapter}' is loaded already. Unload it first to load it anew.`,
  }),
  policy_changed: entry<{ policy: string }>({
    status: 409,
    text: (p) =>
      `The model '${p.policy}' has other weights now than when the reward that uses it was made. Load the former ones, or restart the server.`,
  }),
  strategy_not_found: entry<{ strategy: string; known: readonly string[] }>({
    status: 400,
    param: () => "alignment.strategy",
    text: (p) => `Unknown strategy '${p.strategy}'. Known strategies: ${list(p.known)}.`,
  }),
  reward_not_found: entry<{ reward: string; known: readonly string[]; param?: string }>({
    status: 400,
    param: (p) => p.param ?? "alignment.reward",
    text: (p) => `Unknown reward '${p.reward}'. Known rewards: ${list(p.known)}.`,
  }),
  prompt_too_long: entry<{ tokens: number; limit: number }>({
    status: 400,
    param: () => "messages",
    text: (p) =>
      `The prompt has ${p.tokens} tokens; this model accepts ${p.limit}. Shorten it, or use a model with a longer context.`,
  }),
  answer_too_long: entry<{ reward: string; tokens: number; limit: number }>({
    status: 400,
    text: (p) =>
      `The conversation with its answer has ${p.tokens} tokens; the reward '${p.reward}' accepts ${p.limit}. Shorten either, or lower max_tokens.`,
  }),
  reward_too_slow: entry<{ reward: string; limitMs: number }>({
    status: 400,
    param: () => "alignment.reward",
    text: (p) =>
      `The reward '${p.reward}' needs more than the ${p.limitMs} ms that it may take. Simplify its patterns: nested repetition such as (a+)+ takes time that doubles with every character.`,
  }),
  cache_too_small: entry<{ tokens: number; limit: number; bytes: number }>({
    status: 400,
    param: () => "max_tokens",
    text: (p) =>
      `Prompt and answer may take ${p.tokens} tokens; the cache of ${p.bytes} bytes holds ${p.limit}. Lower max_tokens, or raise the setting cacheBytesMax.`,
  }),
  // capacity
  queue_full: entry<{ waiting: number; limit: number; retryAfterSeconds: number }>({
    status: 429,
    retryAfter: (p) => p.retryAfterSeconds,
    text: (p) =>
      `${p.waiting} sequences are waiting and the queue holds ${p.limit}. Retry in ${p.retryAfterSeconds} s, or raise PLUMBLINE_QUEUE_SEQUENCES_MAX.`,
  }),
  socket_full: entry<{ running: number; limit: number }>({
    status: 429,
    text: (p) =>
      `${p.running} answers are running on this socket and it takes ${p.limit}. Wait for one, open another socket, or raise PLUMBLINE_SOCKET_ANSWERS_MAX.`,
  }),
  client_gone: entry<Record<never, never>>({
    status: 499,
    text: () => "The client left before the answer was complete.",
  }),
  cancelled: entry<Record<never, never>>({
    status: 499,
    text: () => "The client cancelled this answer.",
  }),
  shutting_down: entry<Record<never, never>>({
    status: 503,
    retryAfter: () => 5,
    text: () => "The server is shutting down. Retry on another instance or in a few seconds.",
  }),
  // the search
  budget_spent: entry<{ part: string; limit: number }>({
    status: 400,
    param: (p) => `alignment.budget.${p.part}`,
    text: (p) =>
      `The budget of ${p.limit} (${p.part}) was spent before there was an answer. Raise alignment.budget.${p.part}.`,
  }),
  all_candidates_failed: entry<{ n: number; reasons: readonly string[] }>({
    status: 502,
    text: (p) => `None of the ${p.n} candidates got a usable reward: ${list(p.reasons)}.`,
  }),
  reward_source_failed: entry<{ reward: string; url: string; problem: string; remedy: string }>({
    status: 502,
    text: (p) => `The reward '${p.reward}' got no score from ${p.url}: ${p.problem}. ${p.remedy}`,
  }),
  reward_source_refused: entry<{ reward: string; url: string; status: number; reply: string }>({
    status: 502,
    text: (p) =>
      `The reward '${p.reward}': ${p.url} refused a text with status ${p.status} (${p.reply}). Shorten the answer, or check the reward's options against what is served there.`,
  }),
  judge_unclear: entry<{ reward: string; judge: string; wanted: string; reply: string }>({
    status: 502,
    text: (p) =>
      `The judge ${p.judge} of the reward '${p.reward}' gave no ${p.wanted} in its reply (${p.reply}). Raise its maxTokens, ask for less in its prompt, or choose another 'unparsable' than "error".`,
  }),
  reward_compares_only: entry<{ reward: string }>({
    status: 400,
    param: () => "alignment.reward",
    text: (p) =>
      `The reward '${p.reward}' compares answers with each other and scores none alone. Take the strategy best-of-n with "choose": "knockout" or "round-robin", or give the reward a 'reference' to compare with.`,
  }),
  sandbox_failed: entry<{ reward: string; problem: string }>({
    status: 500,
    text: (p) =>
      `The reward '${p.reward}' cannot run programs: ${p.problem}. It needs Linux with util-linux and user namespaces for everybody (in a container they must be allowed); where the server itself is contained, set its isolation to "process".`,
  }),
  reward_part_missing: entry<{ reward: string; part: string }>({
    status: 502,
    text: (p) =>
      `The part '${p.part}' of the reward '${p.reward}' gave no judgement. Set its option missing to "ignore" to go on without, or take the part out.`,
  }),
  calibration_failed: entry<{ reward: string; problem: string }>({
    status: 502,
    text: (p) =>
      `The reward '${p.reward}' has nothing to compare with: ${p.problem}. Raise its reference's n or temperature, or calibrate by another method.`,
  }),
  engine_failed: entry<{ problem: string }>({
    status: 500,
    text: (p) =>
      `The engine failed (${p.problem}). The request was not answered; it can be retried.`,
  }),
  // files and start-up
  checkpoint_invalid: entry<{ path: string; problem: string; remedy: string }>({
    status: 500,
    text: (p) => `Cannot load the checkpoint ${p.path}: ${p.problem}. ${p.remedy}`,
  }),
  dataset_invalid: entry<{ file: string; line: number; field: string | null; problem: string }>({
    status: 400,
    param: (p) => p.field,
    text: (p) =>
      `${p.file}, line ${p.line}${p.field === null ? "" : `, field '${p.field}'`}: ${p.problem}${p.problem.endsWith("?") ? "" : "."}`,
  }),
  dataset_unusable: entry<{ file: string; problem: string; remedy: string }>({
    status: 400,
    text: (p) => `${p.file} cannot be used as training data: ${p.problem}. ${p.remedy}`,
  }),
  training_rows_unusable: entry<{
    problems: readonly { file: string; line: number; problem: string }[];
    total: number;
  }>({
    status: 400,
    text: (p) => {
      const named = p.problems.map(
        ({ file, line, problem }) => `\n  ${file}, line ${line}: ${problem}`,
      );
      const more = p.total > named.length ? `\n  and ${p.total - named.length} more` : "";
      return `${p.total} rows cannot be used:${named.join("")}${more}\nCorrect them, or leave them out with --bad-rows drop.`;
    },
  }),
  training_folder_taken: entry<{ folder: string; problem: string; remedy: string }>({
    status: 400,
    text: (p) => `The folder ${p.folder} cannot be trained into: ${p.problem}. ${p.remedy}`,
  }),
  training_differs: entry<{ folder: string; differences: readonly string[] }>({
    status: 400,
    text: (p) =>
      `${p.folder} holds a training of another command: ${p.differences.join("; ")}. Give the former values to go on with it, name another --out, or remove the folder.`,
  }),
  batch_folder_taken: entry<{ folder: string; problem: string; remedy: string }>({
    status: 400,
    text: (p) => `The folder ${p.folder} cannot take a batch: ${p.problem}. ${p.remedy}`,
  }),
  batch_differs: entry<{ folder: string; differences: readonly string[] }>({
    status: 400,
    text: (p) =>
      `${p.folder} holds a batch of another command: ${p.differences.join("; ")}. Give the former values to go on with it, or name another --out.`,
  }),
  training_diverged: entry<{ metric: string; value: number; step: number; rows: string }>({
    status: 400,
    text: (p) =>
      `The ${p.metric} of step ${p.step} is ${p.value}; nothing was changed by it. It was computed from ${p.rows}. Lower --learning-rate, or look at these rows; the state before is kept.`,
  }),
  training_too_large: entry<{
    what: string;
    neededBytes: number;
    freeBytes: number;
    remedy: string;
  }>({
    status: 400,
    text: (p) =>
      `Training needs about ${gib(p.neededBytes)} of ${p.what}, and ${gib(p.freeBytes)} may be used. ${p.remedy}`,
  }),
  training_write_failed: entry<{ path: string; problem: string }>({
    status: 500,
    text: (p) =>
      `Cannot write to ${p.path}: ${p.problem}. The last saved state is whole; the same command goes on from it.`,
  }),
  export_failed: entry<{ path: string; problem: string }>({
    status: 500,
    text: (p) => `Cannot write ${p.path}: ${p.problem}. Nothing was left there.`,
  }),
  architecture_unsupported: entry<{ path: string; architecture: string; known: readonly string[] }>(
    {
      status: 500,
      text: (p) =>
        `${p.path} declares the architecture '${p.architecture}'. Supported: ${list(p.known)}.`,
    },
  ),
  provider_unavailable: entry<{ provider: string; problem: string; remedy: string }>({
    status: 500,
    text: (p) => `The execution provider '${p.provider}' cannot be used: ${p.problem}. ${p.remedy}`,
  }),
  format_unavailable: entry<{ format: string; provider: string; problem: string }>({
    status: 500,
    text: (p) =>
      `The provider '${p.provider}' does not serve models in ${p.format}: ${p.problem}. Serve them in float32, int8 or int4, or on another device.`,
  }),
  runtime_failed: entry<{ call: string; problem: string }>({
    status: 500,
    text: (p) => `ONNX Runtime: ${p.call} failed: ${p.problem}`,
  }),
  config_invalid: entry<{ source: string; problem: string }>({
    status: 500,
    text: (p) => `Configuration (${p.source}): ${p.problem}`,
  }),
  store_locked: entry<{ folder: string; pid: number }>({
    status: 500,
    text: (p) =>
      `The data folder ${p.folder} is in use by process ${p.pid}. Stop it, or set PLUMBLINE_DATA_DIR to another folder.`,
  }),
  store_failed: entry<{ folder: string; problem: string; remedy: string }>({
    status: 503,
    text: (p) => `The log in ${p.folder} cannot be written: ${p.problem}. ${p.remedy}`,
  }),
  store_busy: entry<{ waitingBytes: number; limitBytes: number }>({
    status: 503,
    retryAfter: () => 1,
    text: (p) =>
      `${p.waitingBytes} bytes wait to be written to the log and ${p.limitBytes} may. The disk is too slow for this load; retry in a second.`,
  }),
  log_corrupt: entry<{ file: string; offset: number; problem: string; remedy: string }>({
    status: 500,
    text: (p) => `The log file ${p.file} is damaged at byte ${p.offset}: ${p.problem}. ${p.remedy}`,
  }),
  database_failed: entry<{ folder: string; problem: string; remedy: string }>({
    status: 503,
    text: (p) => `The database in ${p.folder} cannot be used: ${p.problem}. ${p.remedy}`,
  }),
} as const;

export type ErrorCode = keyof typeof errorTable;
export type ErrorParams<C extends ErrorCode> =
  (typeof errorTable)[C] extends ErrorEntry<infer P> ? P : never;

/** An error that the caller, the user or the operator can act on. */
export class GatewayError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = "GatewayError";
  readonly code: C;
  readonly params: ErrorParams<C>;
  readonly status: number;
  readonly param: string | null;
  readonly retryAfterSeconds: number | null;

  constructor(code: C, params: ErrorParams<C>, options?: ErrorOptions) {
    // The table is typed per code; one signature for all of them needs the widening.
    const row = errorTable[code] as ErrorEntry<ErrorParams<C>>;
    super(row.text(params), options);
    this.code = code;
    this.params = params;
    this.status = row.status;
    this.param = row.param?.(params) ?? null;
    this.retryAfterSeconds = row.retryAfter?.(params) ?? null;
  }
}

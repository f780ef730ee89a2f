/** Every metric of the server, declared once. The only importer of prom-client; no module state. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Seconds; from one small step of the engine to a long search. */
const latencyBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
/** Nats; the bound of best-of-2 is 0.19, of best-of-128 3.9. */
const klBuckets = [0.1, 0.2, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32];
/** Rewards have any unit: finer about 0, where most of them are, and open at both ends. */
const rewardBuckets = [-100, -30, -10, -5, -3, -2, -1, -0.5, 0, 0.5, 1, 2, 3, 5, 10, 30, 100];
/** In the reward's unit. */
const deviationBuckets = [0, 0.01, 0.03, 0.1, 0.3, 0.5, 1, 2, 3, 5, 10, 30, 100];
/** In standard deviations of the candidates: best-of-128 reaches 2.6 on average where rewards are normal. */
const gainBuckets = [-3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 4];
const shareBuckets = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
const nanosecondsPerSecond = 1e9;

/**
 * The caller owns it: `close` stops the event-loop monitor.
 */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const refreshers: (() => void)[] = [];
  const { counter, histogram, gauge } = declarations(registers);
  collectDefaultMetrics({ register: registry });
  const eventLoop = watchEventLoop(registers);

  return {
    // http
    requests: counter(
      "requests_total",
      "Requests answered, by outcome; status 499: the client left first.",
      ["route", "status", "strategy"],
    ),
    requestSeconds: histogram(
      "request_duration_seconds",
      "From the request's headers to the last byte of its answer.",
      ["route"],
    ),
    firstTokenSeconds: histogram(
      "first_token_seconds",
      "From the request's headers to the first final text of a streamed answer.",
      ["strategy"],
    ),
    errors: counter("errors_total", "Requests that ended in an error, by its code.", ["code"]),
    queueRejections: counter(
      "queue_rejections_total",
      "Requests refused because a queue was full, by the error's code.",
      ["code"],
    ),
    streams: gauge("open_streams", "Streams being written, by transport.", ["transport"]),
    // answers
    candidates: counter("candidates_total", "Candidates generated.", ["strategy"]),
    rewardCalls: counter("reward_calls_total", "Evaluations of a reward.", ["strategy"]),
    tokens: counter(
      "tokens_total",
      "Tokens of answered requests; kind: prompt, completion (of all candidates).",
      ["kind"],
    ),
    ...searchMetrics(counter, histogram),
    ...engineGauges(gauge),
    // log
    logWaitingBytes: gauge("log_waiting_bytes", "Bytes of the log not yet on disk."),
    logFlushes: gauge("log_flushes", "Group commits of the log so far."),
    logFlushSeconds: gauge(
      "log_flush_seconds",
      "Seconds spent writing and flushing the log so far.",
    ),

    contentType: registry.contentType,
    /** Called before every scrape, to set the gauges whose values live elsewhere. */
    onScrape(refresh: () => void) {
      refreshers.push(refresh);
    },
    /** Prometheus' text format. */
    text() {
      for (const refresh of refreshers) refresh();
      return registry.metrics();
    },
    close: () => eventLoop.disable(),
  };
}

type Declarations = ReturnType<typeof declarations>;

/** What answers say of their searches. */
function searchMetrics(counter: Declarations["counter"], histogram: Declarations["histogram"]) {
  return {
    searches: counter(
      "searches_total",
      "Answered searches, by what stopped them: complete, a part of the budget, a word of the strategy's.",
      ["strategy", "stopped"],
    ),
    searchSeconds: histogram(
      "search_seconds",
      "From a request's acceptance to the end of its search.",
      ["strategy"],
    ),
    cuts: counter("candidates_cut_total", "Candidates that the search ended, by why.", [
      "strategy",
      "reason",
    ]),
    kl: histogram(
      "kl_nats",
      "KL of the answer's law from the policy's, by figure: bound or estimate.",
      ["strategy", "figure"],
      klBuckets,
    ),
    chosenReward: histogram(
      "chosen_reward",
      "Reward of the answer, in the reward's unit.",
      ["reward"],
      rewardBuckets,
    ),
    rewardDeviation: histogram(
      "reward_deviation",
      "Standard deviation of the rewards of a search's candidates, in the reward's unit.",
      ["reward"],
      deviationBuckets,
    ),
    rewardGain: histogram(
      "reward_gain",
      "Reward of the answer above the candidates' mean, in their standard deviations.",
      ["strategy"],
      gainBuckets,
    ),
    holdoutGain: histogram(
      "holdout_gain",
      "Held-out reward of the answer above the candidates' mean, in their standard deviations.",
      ["strategy"],
      gainBuckets,
    ),
    disagreement: histogram(
      "reward_disagreement",
      "Mean standard deviation of the standardised scores of a reward's parts.",
      ["strategy"],
      shareBuckets,
    ),
    duplicates: histogram(
      "duplicates_ratio",
      "Share of a search's candidates that repeat another one's text.",
      ["strategy"],
      shareBuckets,
    ),
    warnings: counter("warnings_total", "Warnings in answers, by what they are about.", ["kind"]),
    budgetOvershoot: counter(
      "budget_overshoot_total",
      "What searches spent beyond their budget: tokens, reward_calls, ms.",
      ["part"],
    ),
  };
}

/** What the engines count, set before every scrape. */
function engineGauges(gauge: Declarations["gauge"]) {
  return {
    queueSequences: gauge(
      "queue_waiting_sequences",
      "Sequences waiting for the engines, of all policies.",
    ),
    runningSequences: gauge(
      "running_sequences",
      "Sequences in the engines' batches, of all policies.",
    ),
    kvSlots: gauge("kv_slots", "Slots of the key-value caches of all policies, by state.", [
      "state",
    ]),
    preemptions: gauge("preemptions", "Sequences that had to give way to others so far."),
    draftTokens: gauge(
      "draft_tokens",
      "Tokens guessed ahead so far, by whether the policy drew them itself (kept) or not (dropped).",
      ["result"],
    ),
    prefixTokens: gauge(
      "prefix_tokens",
      "Prompt tokens so far, by model (policy: all of them; reward) and by whether an earlier prompt's were found (found, computed).",
      ["model", "result"],
    ),
    cacheBytes: gauge("cache_bytes", "Memory of the keys and values of what runs."),
    prefixBytes: gauge("prefix_cache_bytes", "Keys and values kept of earlier prompts, by model.", [
      "model",
    ]),
  };
}

/** One line a metric. */
function declarations(registers: Registry[]) {
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter({ name: `plumbline_${name}`, help, labelNames, registers });
  const histogram = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    buckets = latencyBuckets,
  ) => new Histogram({ name: `plumbline_${name}`, help, labelNames, registers, buckets });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge({ name: `plumbline_${name}`, help, labelNames, registers });
  return { counter, histogram, gauge };
}

/** The delay of the event loop by quantile, since the last scrape. */
function watchEventLoop(registers: Registry[]) {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  new Gauge({
    name: "plumbline_event_loop_delay_seconds",
    help: "Delay of the event loop since the last scrape, by quantile.",
    labelNames: ["quantile"],
    registers,
    collect() {
      for (const percent of [50, 99, 100]) {
        const seconds = delay.percentile(percent) / nanosecondsPerSecond;
        this.set({ quantile: String(percent / 100) }, seconds);
      }
      delay.reset();
    },
  });
  return delay;
}

export type Metrics = ReturnType<typeof createMetrics>;

/** The evaluation of strategies as tables, and as figures by file name. */
import type { Interval } from "../base/statistics.ts";
import { type Domain, domains } from "../corpus/index.ts";
import type { CurvePoint } from "./best-of-n-curve.ts";
import type { TrialRow } from "./evaluate-strategies.ts";
import type { Plot } from "./plots.ts";

export interface StrategiesEvaluation {
  readonly model: string;
  readonly reward: string;
  readonly promptsPerDomain: number;
  readonly rows: readonly TrialRow[];
  /** Best-of-N by the reward; empty where none was asked for. */
  readonly curves: Readonly<Record<Domain, readonly CurvePoint[]>>;
}

export function tablesOf({ rows, curves }: StrategiesEvaluation): string {
  return domains
    .flatMap((domain) => [
      trialTable(
        domain,
        rows.filter((row) => row.domain === domain),
      ),
      curveTable(domain, curves[domain]),
    ])
    .filter((table) => table !== "")
    .join("\n\n");
}

function trialTable(domain: Domain, rows: readonly TrialRow[]): string {
  if (rows.length === 0) return "";
  const cells = rows.map((row) => [
    row.trial,
    plain(row.gold),
    percent(row.accuracy),
    `${number(row.klEstimate)} ≤ ${number(row.klBound)}`,
    whole(row.tokens),
    whole(row.rewardCalls),
    whole(row.ms),
    Object.entries(row.stopped)
      .map(([why, count]) => (count === total(row) ? why : `${why} ${count}`))
      .join(", "),
  ]);
  const head = [
    domain,
    "gold reward",
    "right",
    "KL estimate ≤ bound",
    "tokens",
    "reward calls",
    "ms",
    "stopped",
  ];
  return markdown(head, cells);
}

function curveTable(domain: Domain, points: readonly CurvePoint[]): string {
  if (points.length === 0) return "";
  const head = [
    `${domain}, best of N`,
    "reward (proxy)",
    "gold reward",
    "right",
    "best gold of N",
    "KL bound",
    "tokens",
  ];
  const cells = points.map(({ n, proxy, gold, accuracy, oracle, klBound, tokens }) => [
    String(n),
    plain(proxy),
    plain(gold),
    percent(accuracy),
    plain(oracle),
    number(klBound),
    tokens.toFixed(0),
  ]);
  return markdown(head, cells);
}

const total = ({ stopped }: TrialRow) => Object.values(stopped).reduce((sum, n) => sum + n, 0);

const markdown = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

const range = ({ estimate, low, high }: Interval, text: (value: number) => string) =>
  `${text(estimate)} [${text(low)}, ${text(high)}]`;
const plain = (interval: Interval) => range(interval, (value) => value.toFixed(2));
const whole = (interval: Interval) => range(interval, (value) => value.toFixed(0));
const percent = (interval: Interval) => `${range(interval, (value) => (100 * value).toFixed(1))} %`;
const number = (value: number | null) => (value === null ? "–" : value.toFixed(2));

/** By file name. */
export function plotsOf(evaluation: StrategiesEvaluation): Map<string, Plot> {
  const plots = new Map<string, Plot>();
  for (const domain of domains) {
    const curve = evaluation.curves[domain];
    const trials = evaluation.rows.filter((row) => row.domain === domain);
    if (trials.length > 0) {
      plots.set(`gold-${domain}.svg`, {
        title: `Gold reward against compute: ${domain}`,
        y: "gold reward, mean over prompts and 95 % interval",
        ...againstCompute(trials, curve, "gold"),
      });
      plots.set(`right-${domain}.svg`, {
        title: `Right answers against compute: ${domain}`,
        y: "share of right answers and 95 % interval",
        ...againstCompute(trials, curve, "accuracy"),
      });
    }
    if (curve.length > 0) {
      plots.set(`over-optimisation-${domain}.svg`, overOptimisation(domain, curve));
    }
  }
  return plots;
}

function againstCompute(
  trials: readonly TrialRow[],
  curve: readonly CurvePoint[],
  what: "gold" | "accuracy",
): Pick<Plot, "x" | "series"> {
  const onCurve = curve.map((point) => ({
    x: point.tokens,
    y: point[what],
    label: `N = ${point.n}`,
  }));
  const isOnCurve = (name: string) => curve.some(({ n }) => name === `best-of-n ${n}`);
  const apart = trials
    .filter(({ trial }) => !isOnCurve(trial))
    .map((row) => ({
      x: row.tokens.estimate,
      y: row[what],
      label: row.trial,
    }));
  return {
    x: "tokens drawn for an answer",
    series: [
      { name: "best-of-n", isLine: true, points: onCurve },
      { name: "strategies", isLine: false, points: apart },
    ],
  };
}

function overOptimisation(domain: Domain, curve: readonly CurvePoint[]): Plot {
  const line = (name: string, what: "proxy" | "gold" | "oracle") => ({
    name,
    isLine: true,
    points: curve.map((point) => ({ x: point.n, y: point[what] })),
  });
  return {
    title: `Proxy against gold, best of N: ${domain}`,
    x: "N",
    y: "reward, mean over prompts and 95 % interval",
    series: [line("proxy", "proxy"), line("gold", "gold"), line("best gold of N", "oracle")],
  };
}

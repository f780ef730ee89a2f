/** The evaluation of trainers as tables, and as figures by file name. */
import type { Interval } from "../../base/statistics.ts";
import type { Domain } from "../../corpus/index.ts";
import type { Curves, Plot, Point } from "../plots.ts";
import { aimsOf } from "./aims.ts";
import type { TrainerRow, TrainersEvaluation } from "./evaluate-trainers.ts";
import type { Compared, PolicyFigures } from "./figures.ts";
import type { LikelihoodCurve } from "./likelihood-curves.ts";
import { rowsText } from "./trials.ts";

export function tablesOf(evaluation: TrainersEvaluation): string {
  const { domains, rows } = evaluation;
  const perDomain = domains.length > 1 ? domains.map((domain) => domainTable(domain, rows)) : [];
  return [mainTable(evaluation), aimsTable(evaluation), ...perDomain]
    .filter((table) => table !== "")
    .join("\n\n");
}

function aimsTable(evaluation: TrainersEvaluation): string {
  const aims = aimsOf(evaluation);
  if (aims.length === 0) return "";
  return markdown(
    ["aim", "found", "met"],
    aims.map(({ aim, found, isMet }) => [aim, found, isMet ? "yes" : "no"]),
  );
}

/** Gold of support and right answers of arithmetic; what remains is over all held-out prompts. */
function mainTable({ domains, rows }: TrainersEvaluation): string {
  const [hasSupport, hasArithmetic] = [domains.includes("support"), domains.includes("arithmetic")];
  const head = [
    "trained by",
    "rows",
    ...(hasSupport ? ["support: gold reward", "of best-of-n's gain"] : []),
    ...(hasArithmetic ? ["arithmetic: right", "points gained"] : []),
    "KL to the base",
    "log π(chosen): change",
    "log π(rejected): change",
    "tokens",
  ];
  const cells = rows.map((row) => {
    const { support, arithmetic } = row.domains;
    return [
      row.name,
      row.trial ? rowsText(row.trial.rows) : "–",
      ...(support ? [plain(support.gold.value), percentOrNone(support.recovered)] : []),
      ...(arithmetic ? [percent(arithmetic.right.value), points(arithmetic.right.change)] : []),
      klText(row, row.all),
      changeText(row.all.chosen),
      changeText(row.all.rejected),
      whole(row.all.tokens),
    ];
  });
  return markdown(head, cells);
}

function domainTable(domain: Domain, rows: readonly TrainerRow[]): string {
  const head = [
    domain,
    "gold reward",
    "gained",
    "of best-of-n's gain",
    "right",
    "reward (proxy)",
    "KL to the base, k1",
    "k3",
    "log π(chosen)",
    "change",
    "log π(rejected)",
    "change",
    "tokens",
  ];
  const cells = rows.flatMap((row) => {
    const figures = row.domains[domain];
    if (!figures) return [];
    return [
      [
        row.name,
        plain(figures.gold.value),
        plain(figures.gold.change),
        percentOrNone(figures.recovered),
        percent(figures.right.value),
        plainOrNone(figures.reward),
        klText(row, figures),
        plainOrNone(figures.klK3),
        plainOrNone(figures.chosen?.value ?? null),
        changeText(figures.chosen),
        plainOrNone(figures.rejected?.value ?? null),
        changeText(figures.rejected),
        whole(figures.tokens),
      ],
    ];
  });
  return markdown(head, cells);
}

const klText = ({ klBound }: TrainerRow, { kl }: PolicyFigures): string => {
  if (kl) return plain(kl);
  return klBound === null ? "–" : `≤ ${fixed(2)(klBound)}`;
};

const markdown = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

const range = ({ estimate, low, high }: Interval, text: (value: number) => string) =>
  `${text(estimate)} [${text(low)}, ${text(high)}]`;
/** −0.00 is 0.00. */
const fixed = (digits: number) => (value: number) =>
  value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1");
const plain = (interval: Interval) => range(interval, fixed(2));
const whole = (interval: Interval) => range(interval, fixed(0));
const percent = (interval: Interval) => `${range(interval, (value) => fixed(0)(100 * value))} %`;
const points = (interval: Interval) => range(interval, (value) => fixed(0)(100 * value));
const percentOrNone = (interval: Interval | null) => (interval ? percent(interval) : "–");
const plainOrNone = (interval: Interval | null) => (interval ? plain(interval) : "–");
const changeText = (compared: Compared | null) => plainOrNone(compared?.change ?? null);

/** Where a logarithmic axis begins, nats: what is nearer to the base stands there. */
const KL_MIN = 0.05;

/** Gold against KL, by file name. */
export function plotsOf({ domains, rows }: TrainersEvaluation): Map<string, Plot> {
  const kinds: readonly (readonly [name: string, isMeant: (row: TrainerRow) => boolean])[] = [
    ["trained", ({ trial }) => trial?.isShuffled === false],
    ["trained on shuffled rewards", ({ trial }) => trial?.isShuffled === true],
    ["base, best-of-n", ({ trial }) => trial === null],
  ];
  return new Map(
    domains.map((domain) => [
      `trainers-${domain}.svg`,
      {
        title: `Gold reward against the distance from the base: ${domain}`,
        x: "KL to the base, nats an answer (of best-of-n its bound)",
        y: "gold reward, mean over prompts and 95 % interval",
        series: kinds.map(([name, isMeant]) => ({
          name,
          isLine: false,
          points: rows.filter(isMeant).flatMap((row) => pointOf(row, row.domains[domain])),
        })),
      },
    ]),
  );
}

function pointOf({ name, klBound }: TrainerRow, figures: PolicyFigures | undefined): Point[] {
  const kl = figures?.kl?.estimate ?? klBound;
  if (!figures || kl === null) return [];
  return [{ x: Math.max(KL_MIN, kl), y: figures.gold.value, label: name }];
}

/** Those whose likelihoods are compared: DPO at its usual length and far beyond it, and direct imitation learning. */
const WATCHED: readonly string[] = [
  "dpo",
  "dpo-long",
  "dil-lsif-long",
  "dil-ukl-long",
  "dil-bce-long",
];

/** Curves over training, by file name. */
export function curvesOf({ curves }: TrainersEvaluation): Map<string, Curves> {
  const watched = curves.filter(({ name }) => WATCHED.includes(name));
  if (watched.length === 0) return new Map();
  const of = (which: "chosen" | "rejected"): Curves => ({
    title: `log π of held-out ${which} answers, nats`,
    x: "step",
    series: watched.map(({ name, points }: LikelihoodCurve) => ({
      name,
      points: points.map((point) => [point.step, point[which]] as const),
    })),
  });
  return new Map([
    ["trainers-chosen.svg", of("chosen")],
    ["trainers-rejected.svg", of("rejected")],
  ]);
}

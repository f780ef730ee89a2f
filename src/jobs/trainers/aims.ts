/** What the trainers are to reach, and whether they have: by the estimates, or where nothing may happen by the intervals. */
import type { Interval } from "../../base/statistics.ts";
import type { TrainerRow, TrainersEvaluation } from "./evaluate-trainers.ts";

export interface Aim {
  readonly aim: string;
  readonly found: string;
  readonly isMet: boolean;
}

const RECOVERED_MIN = 0.6;
const POINTS_MIN = 15;

/** Those of which something was measured. */
export function aimsOf({ rows, n }: Pick<TrainersEvaluation, "rows" | "n">): Aim[] {
  const named = (name: string) => rows.filter((row) => row.name === name);
  return [
    ...["raft", "dpo"].flatMap(named).flatMap((row) => recovers(row, n)),
    ...pointsGained(["grpo", "rloo"].flatMap(named)),
    ...rows.filter(({ trial }) => trial?.isShuffled).flatMap(gainsNothing),
    ...kept(rows),
  ];
}

function recovers({ name, domains }: TrainerRow, n: number): Aim[] {
  const share = domains.support?.recovered;
  if (!share) return [];
  return [
    {
      aim: `${name}: ${percent(RECOVERED_MIN)} of best-of-${n}'s gain on support, in one answer`,
      found: `${percent(share.estimate)} [${percent(share.low)}, ${percent(share.high)}]`,
      isMet: share.estimate >= RECOVERED_MIN,
    },
  ];
}

/** Of the better one. */
function pointsGained(rows: readonly TrainerRow[]): Aim[] {
  const gains = rows.flatMap(({ name, domains }) => {
    const gain = domains.arithmetic?.right.change;
    return gain ? [{ name, gain }] : [];
  });
  const best = gains.toSorted((a, b) => b.gain.estimate - a.gain.estimate)[0];
  if (!best) return [];
  const points = 100 * best.gain.estimate;
  return [
    {
      aim: `grpo or rloo: ${POINTS_MIN} points of arithmetic`,
      found: `${best.name}: ${points.toFixed(0)}`,
      isMet: points >= POINTS_MIN,
    },
  ];
}

/** A gain that can be told from chance, in any domain, breaks it. */
function gainsNothing({ name, domains }: TrainerRow): Aim[] {
  const changes = Object.entries(domains).flatMap(([domain, { gold, right }]) => [
    [`${domain}: gold`, gold.change] as const,
    [`${domain}: right`, right.change] as const,
  ]);
  const gained = changes.filter(([, { low }]) => low > 0);
  return [
    {
      aim: `${name} gains nothing`,
      found: gained.length > 0 ? gained.map(textOf).join("; ") : changes.map(textOf).join("; "),
      isMet: gained.length === 0,
    },
  ];
}

const textOf = ([what, { estimate, low, high }]: readonly [string, Interval]) =>
  `${what} ${[estimate, low, high].map((value) => value.toFixed(2)).join(" / ")}`;

/** Direct imitation against DPO, as long as each other and at the same rate: `<name>` beside `dpo` with the same ending. */
function kept(rows: readonly TrainerRow[]): Aim[] {
  return rows.flatMap((row) => {
    const ending = /^dil-(?:lsif|ukl|bce)(.*)$/.exec(row.name)?.[1];
    const dpo = rows.find(({ name }) => name === `dpo${ending}`)?.all.chosen?.change;
    const own = row.all.chosen?.change;
    if (ending === undefined || !dpo || !own || dpo.high >= 0) return [];
    return [
      {
        aim: `${row.name} keeps the likelihood of chosen answers, which dpo${ending} lets fall by ${(-dpo.estimate).toFixed(2)}`,
        found: `${own.estimate.toFixed(2)} [${own.low.toFixed(2)}, ${own.high.toFixed(2)}]`,
        isMet: own.low > dpo.high && own.high >= 0,
      },
    ];
  });
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;

/** What `plumbline eval trainers` trains when it is told nothing else: a loss, the rows it gets, and how long it learns. */
import { GatewayError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest.ts";
import { compileOptions } from "../../base/options.ts";
import { pairRules } from "../../datasets/pairing.ts";
import { type Method, methods } from "../training/methods.ts";

/** What is made of logged candidates: the best of each prompt, labels, rankings, or pairs by a rule. */
export const rowsNames = ["winners", "rated", "lists", ...pairRules] as const;
export type RowsName = (typeof rowsNames)[number];

export interface TrainerTrial {
  /** Of its folder and its row of the table. */
  readonly name: string;
  /** A loss's name. */
  readonly method: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly rows: RowsName;
  /** A control: rewards are permuted among each prompt's answers, so that there is nothing to learn from them. */
  readonly isShuffled: boolean;
  readonly learningRate: number;
  readonly epochs: number;
}

type Changes = Partial<Omit<TrainerTrial, "name" | "method">>;

/** Rates and epochs are those found for `tiny-chat`: docs/log.md says how. */
const RATE = 5e-5;
const EPOCHS = 3;

function trial(method: string, changes: Changes = {}, name = method): TrainerTrial {
  return {
    name,
    method,
    options: {},
    rows: "max_min",
    isShuffled: false,
    learningRate: RATE,
    epochs: EPOCHS,
    ...changes,
  };
}

const winners: Changes = { rows: "winners", learningRate: 3e-4 };
const shuffled: Changes = { isShuffled: true };

export const trainerTrials: readonly TrainerTrial[] = [
  trial("raft", winners),
  trial("dpo"),
  trial("cdpo"),
  trial("robust"),
  trial("ipo"),
  trial("hinge"),
  trial("slic"),
  trial("exo"),
  trial("nca"),
  trial("bco-pair"),
  trial("sppo"),
  trial("aot"),
  trial("apo-zero"),
  trial("apo-down"),
  trial("discopop"),
  trial("simpo"),
  trial("cpo"),
  trial("orpo"),
  trial("rpo"),
  trial("dil-lsif"),
  trial("dil-ukl"),
  trial("dil-bce"),
  trial("spin", { rows: "max_random" }),
  trial("gsil", { rows: "max_random" }),
  trial("kto", { rows: "rated" }),
  trial("bco", { rows: "rated" }),
  trial("apo-zero-unpaired", { rows: "rated" }),
  trial("dpo-plackett-luce", { rows: "lists" }),
  trial("list-pairs", { rows: "lists" }),
  trial("lipo", { rows: "lists" }),
  trial("rrhf", { rows: "lists" }),
  trial("bonbon", { rows: "lists" }),
  trial("raft", { ...winners, ...shuffled }, "raft, shuffled rewards"),
  trial("dpo", shuffled, "dpo, shuffled rewards"),
];

/** @throws GatewayError invalid_request for a name that is not in the list */
export function trialsNamed(names: readonly string[]): TrainerTrial[] {
  return names.map((name) => {
    const found = trainerTrials.find((each) => each.name === name);
    if (found) return found;
    const known = trainerTrials.map((each) => each.name);
    const nearest = nearestName(name, known);
    const hint =
      nearest === null ? `; there is ${known.join("; ")}` : `; did you mean '${nearest}'?`;
    throw invalid("--methods", `'${name}' is not one of them${hint}`);
  });
}

const kinds: Readonly<Record<"winners" | "rated" | "lists", Method["rows"][number]>> = {
  winners: "supervised",
  rated: "rated",
  lists: "list",
};

/** The kind of rows that they are. */
export const kindOf = (rows: RowsName): Method["rows"][number] =>
  rows in kinds ? kinds[rows as keyof typeof kinds] : "pair"; // all others are pairing rules

/** What a trial trains, its options checked. */
export interface CheckedTrial {
  readonly trial: TrainerTrial;
  readonly method: Method;
  readonly lossOptions: ReturnType<ReturnType<typeof compileOptions>>;
}

/** @throws GatewayError invalid_request for a method that makes no policy of such rows, or options that it does not take */
export function checkedTrial(trial: TrainerTrial): CheckedTrial {
  const { name, rows } = trial;
  const policies = methods.filter(({ isReward }) => !isReward);
  const method = policies.find(({ loss }) => loss.name === trial.method);
  if (!method) {
    const known = policies.map(({ loss }) => loss.name).join(", ");
    throw invalid(name, `'${trial.method}' makes no policy of rows; these do: ${known}`);
  }
  const kind = kindOf(rows);
  if (!method.rows.includes(kind)) {
    const problem = `${trial.method} learns from rows of: ${method.rows.join(", ")}; '${rows}' are ${kind}`;
    throw invalid(name, problem);
  }
  return { trial, method, lossOptions: compileOptions(method.loss, name)(trial.options) };
}

const invalid = (param: string, problem: string) =>
  new GatewayError("invalid_request", { param, problem });

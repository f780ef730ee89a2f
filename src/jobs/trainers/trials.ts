/** What `plumbline eval trainers` trains when it is told nothing else: a loss, the rows it gets, and how long it learns. */
import { GatewayError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest.ts";
import { compileOptions } from "../../base/options.ts";
import type { Domain } from "../../corpus/index.ts";
import { pairRules } from "../../datasets/pairing.ts";
import { ANSWER_TOKENS_MAX } from "../in-turns.ts";
import { type Method, methods, onlineMethods, type RowKind } from "../training/methods.ts";

/** What is made of logged candidates: the best of each prompt, labels, rankings, or pairs by a rule. */
export const rowsNames = ["winners", "rated", "lists", ...pairRules] as const;
export type RowsName = (typeof rowsNames)[number];

/** Of a trial that learns from answers which its own policy draws. */
export interface Rollouts {
  readonly domain: Domain;
  /** Training prompts of it: they need no candidates, and may be more than those that have some. */
  readonly prompts: number;
}

export interface TrainerTrial {
  /** Of its folder and its row of the table. */
  readonly name: string;
  /** A loss's name. */
  readonly method: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** What is made of the candidates, or of no candidates: rollouts. */
  readonly rows: RowsName | Rollouts;
  /** A control: rewards are permuted among each prompt's answers, so that there is nothing to learn from them. */
  readonly isShuffled: boolean;
  readonly learningRate: number;
  readonly epochs: number;
  /** Rows of a step. */
  readonly batch: number;
}

type Changes = Partial<Omit<TrainerTrial, "name" | "method">>;

/** Rates and epochs are those found for `tiny-chat`: docs/log.md says how. */
const RATE = 1e-4;
const EPOCHS = 3;
const BATCH = 16;

function trial(method: string, changes: Changes = {}, name = method): TrainerTrial {
  return {
    name,
    method,
    options: {},
    rows: "max_min",
    isShuffled: false,
    learningRate: RATE,
    epochs: EPOCHS,
    batch: BATCH,
    ...changes,
  };
}

/**
 * What the methods of a kind of rows get unless their own line says otherwise. All of them come to about as many steps:
 * there are k times as many labels as pairs, and a list holds the tokens of k/2 pairs.
 */
const usual: Readonly<Record<RowKind, Changes>> = {
  supervised: { rows: "winners", learningRate: 3e-4, epochs: 2 },
  pair: { rows: "max_min" },
  rated: { rows: "rated", epochs: 1 },
  list: { rows: "lists", epochs: 1, batch: 4 },
  steps: {}, // of reward models, which are not tried
  prompt: {},
};

const own: Readonly<Record<string, Changes>> = {
  ipo: { options: { beta: 1 } }, // a margin of ½ nat a token; the default's 5 nats a token are no policy's any more
  sppo: { options: { beta: 0.1 } }, // ±5 nats an answer instead of the default's ±500
  spin: { rows: "max_random" },
  gsil: { rows: "max_random" },
  grpo: { batch: 8, learningRate: 3e-4 }, // twice the updates of the same answers
};

/** Of a teacher, and behind words that a request would have to say. */
const needsMore: ReadonlySet<string> = new Set(["distillation", "conditional-sft"]);
const rowMethods = methods.filter(({ isReward, loss }) => !isReward && !needsMore.has(loss.name));
const rowTrials = rowMethods.map(({ loss, rows: [kind] }) =>
  trial(loss.name, { ...usual[kind!], ...own[loss.name] }),
);
const like = (method: string, name: string, changes: Changes): TrainerTrial => ({
  ...rowTrials.find((each) => each.name === method)!,
  ...changes,
  name,
});
const shuffled = (method: string) => like(method, `${method}-shuffled`, { isShuffled: true });

/** Far beyond where the gold reward is had: what becomes of likelihoods then tells losses apart. */
const long = (method: string, options: Changes["options"] = {}) =>
  like(method, `${method}-long`, { learningRate: 3e-4, epochs: 5, options });

/** As DIL's theory has it: by means the push off the rejected answers fades tokens-of-an-answer times later. */
const sums = { length_normalize: false };

/** Rewarded by what is right, not by the model: verifiable rewards are what these methods are for. */
const rolloutTrials = onlineMethods.map(({ loss: { name, options } }) =>
  trial(
    name,
    {
      rows: { domain: "arithmetic", prompts: 640 },
      epochs: 1,
      learningRate: 2e-4,
      ...("tokens_max" in options.properties && { options: { tokens_max: ANSWER_TOKENS_MAX } }),
      ...own[name],
    },
    name.replaceAll("+", "-plus"), // which folders are named by
  ),
);

/** One for each method that makes a policy of rows or of its own answers, the long ones, and the controls. */
export const trainerTrials: readonly TrainerTrial[] = [
  ...rowTrials,
  ...rolloutTrials,
  long("dpo"),
  long("dil-lsif"), // by sums it grows without bound
  long("dil-ukl", sums),
  long("dil-bce", sums),
  ...["raft", "dpo"].map(shuffled),
];

/** Those that are evaluated when nothing else is asked for: of each family the ones that differ most. */
export const defaultTrials: readonly TrainerTrial[] = trialsNamed([
  "raft",
  "dpo",
  "ipo",
  "slic",
  "exo",
  "nca",
  "sppo",
  "apo-zero",
  "simpo",
  "cpo",
  "orpo",
  "dil-lsif",
  "dil-ukl",
  "dil-bce",
  "kto",
  "dpo-plackett-luce",
  "rrhf",
  "bonbon",
  "grpo",
  "rloo",
  "dpo-long",
  "dil-lsif-long",
  "dil-ukl-long",
  "dil-bce-long",
  "raft-shuffled",
  "dpo-shuffled",
]);

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

const kinds: Readonly<Record<"winners" | "rated" | "lists", RowKind>> = {
  winners: "supervised",
  rated: "rated",
  lists: "list",
};

/** The kind of rows that they are. */
export function kindOf(rows: TrainerTrial["rows"]): RowKind {
  if (typeof rows !== "string") return "prompt";
  return rows in kinds ? kinds[rows as keyof typeof kinds] : "pair"; // all others are pairing rules
}

/** As tables say it. */
export const rowsText = (rows: TrainerTrial["rows"]): string =>
  typeof rows === "string" ? rows : `own answers, ${rows.domain}`;

/** What a trial trains, its options checked. */
export interface CheckedTrial {
  readonly trial: TrainerTrial;
  readonly method: Method;
  readonly lossOptions: ReturnType<ReturnType<typeof compileOptions>>;
}

/** @throws GatewayError invalid_request for a method that makes no policy of such rows, or options that it does not take */
export function checkedTrial(trial: TrainerTrial): CheckedTrial {
  const { name, rows } = trial;
  const kind = kindOf(rows);
  const known = kind === "prompt" ? onlineMethods : rowMethods;
  const method = known.find(({ loss }) => loss.name === trial.method);
  if (!method) {
    const of = kind === "prompt" ? "answers of its own" : "rows";
    const names = known.map(({ loss }) => loss.name).join(", ");
    throw invalid(name, `'${trial.method}' makes no policy of ${of}; these do: ${names}`);
  }
  if (!method.rows.includes(kind)) {
    const problem = `${trial.method} learns from rows of: ${method.rows.join(", ")}; '${rowsText(rows)}' are ${kind}`;
    throw invalid(name, problem);
  }
  if (kind === "prompt" && trial.isShuffled)
    throw invalid(name, "answers of its own have no rewards yet that could be shuffled");
  return { trial, method, lossOptions: compileOptions(method.loss, name)(trial.options) };
}

const invalid = (param: string, problem: string) =>
  new GatewayError("invalid_request", { param, problem });

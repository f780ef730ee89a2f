/** What a method asks of a rollout, and options that contradict each other. */
import { GatewayError } from "../../../base/errors.ts";
import { type AdvantageEstimator, isFresh } from "../../../train/advantages.ts";
import { needsReference } from "../methods.ts";
import type { OnlineOptions, OnlineRecipe } from "./options.ts";
import { lacksRatio } from "./updates.ts";

export interface Demands {
  /** null: pairs are learned from. */
  readonly estimator: AdvantageEstimator | null;
  /** A value head. */
  readonly hasValues: boolean;
  /** The greedy answer to each prompt. */
  readonly hasGreedy: boolean;
  /** An answer of the mixture with the reference, with which the others are compared. */
  readonly compares: boolean;
  /** log π_ref of every token. */
  readonly needsReference: boolean;
  readonly lacksRatio: boolean;
}

export function demandsOf({ method: { loss }, lossOptions, rewardKl }: OnlineRecipe): Demands {
  const estimator = "estimator" in loss ? loss.estimator : null;
  const isPenalised =
    Number(lossOptions["kl_weight"] ?? 0) > 0 && lossOptions["kl_estimator"] !== "iterate";
  return {
    estimator,
    hasValues: loss.family === "actor-critic",
    hasGreedy: estimator === "greedy-baseline",
    compares: estimator === "preference",
    needsReference: rewardKl > 0 || isPenalised || needsReference(loss),
    lacksRatio: lacksRatio(loss),
  };
}

/** Estimators that compare the answers to a prompt with each other. */
const comparing = new Set<AdvantageEstimator | null>([
  "group-normalised",
  "group-centred",
  "leave-one-out",
  "best",
  "mixed-reward",
  null,
]);

/** @throws GatewayError invalid_request */
export function refuseContradictions(options: OnlineOptions): void {
  const { name, k, batch, lossOptions, rewardKl, evaluate, patience } = options;
  const { estimator } = demandsOf(options);
  if (k < 2 && comparing.has(estimator)) {
    throw invalid(
      "--k",
      `${name} compares the answers to a prompt, and one has nothing to be compared with; give 2 or more`,
    );
  }
  if (options.minibatch !== null && options.minibatch > batch) {
    throw invalid(
      "--minibatch",
      `an update cannot take ${options.minibatch} of a rollout's ${batch} prompts; raise --batch`,
    );
  }
  const updates =
    options.updatesPerRollout ?? Math.ceil(batch / Math.min(options.minibatch ?? batch, batch));
  if (!isFresh(0, updates - 1, options.stalenessMax)) {
    throw invalid(
      "--staleness-max",
      `the last of ${updates} updates would learn from answers that are ${updates - 1} updates old, and ${options.stalenessMax} are allowed; raise it, or lower --updates-per-rollout`,
    );
  }
  if (rewardKl > 0 && Number(lossOptions["kl_weight"] ?? 0) > 0) {
    throw invalid(
      "--reward-kl",
      "the penalty would count twice, in the reward and by --kl-weight in the loss; leave one of them 0",
    );
  }
  if (patience > 0 && evaluate === 0) {
    throw invalid("--patience", "nothing is evaluated; raise --evaluate");
  }
}

const invalid = (param: string, problem: string) =>
  new GatewayError("invalid_request", { param, problem });

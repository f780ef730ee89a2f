/** What `plumbline train` can train from files of rows: losses, and the kinds of rows that each learns from. */
import type { DatasetRow } from "../../datasets/types.ts";
import type { Loss } from "../../train/losses/define.ts";
import { losses } from "../../train/losses/index.ts";

export type RowKind = DatasetRow["kind"];

/** By the shape of the batch; families that are not here need more than rows: rollouts, marked tokens. */
const rowsOf: { readonly [F in Loss["family"]]?: readonly RowKind[] } = {
  supervised: ["supervised"],
  distillation: ["supervised"],
  pair: ["pair"],
  unpaired: ["rated", "pair"],
  list: ["list"],
  reward: ["pair", "list"],
  "reward-list": ["list"],
  "reward-point": ["rated", "supervised", "list", "steps"],
};

/** Of these families, but learned from other rows. */
const rowsOfLoss: Readonly<Record<string, readonly RowKind[]>> = {
  "conditional-sft": ["rated", "pair", "supervised", "list"],
};
/** Its pairs are drawn by the policy in training. */
const ONLINE_PAIRS = "online-dpo";

export interface Method {
  readonly loss: Loss;
  readonly rows: readonly RowKind[];
  /** Whether it makes a reward model. */
  readonly isReward: boolean;
}

export const methods: readonly Method[] = losses.flatMap((loss) => {
  const rows = rowsOfLoss[loss.name] ?? rowsOf[loss.family];
  if (!rows || loss.name === ONLINE_PAIRS) return [];
  return [{ loss, rows, isReward: loss.family.startsWith("reward") }];
});

/** Those that learn from answers of the policy in training: no rows, but prompts and a reward. */
export const onlineMethods: readonly Method[] = losses
  .filter(({ family, name }) => /^(policy|actor-critic)$/.test(family) || name === ONLINE_PAIRS)
  .map((loss) => ({ loss, rows: ["prompt"], isReward: false }));

/** Whether the loss compares with the log-probabilities of the model that it starts from. */
export function needsReference(loss: Loss): boolean {
  return "needsReference" in loss && loss.needsReference;
}

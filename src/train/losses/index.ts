/** Every loss, by name: the list that the trainer, the command line, the docs and the tests read. */
import { assert } from "../../base/assert.ts";
import type { Loss } from "./define.ts";
import { cispo } from "./policy/cispo.ts";
import { dapo, drGrpo, grpo, raftPlusPlus, reinforceRej } from "./policy/clipped.ts";
import { gspo } from "./policy/gspo.ts";
import { ppo } from "./policy/ppo.ts";
import { nashMd, reinforce, remax, rloo } from "./policy/reinforce.ts";
import { sapo } from "./policy/sapo.ts";
import { aihf } from "./reward/aihf.ts";
import { bradleyTerry } from "./reward/bradley-terry.ts";
import { corrective } from "./reward/corrective.ts";
import { pairClassification, preferenceModel } from "./reward/pair-classification.ts";
import { plackettLuce } from "./reward/plackett-luce.ts";
import { rewardClassification, rewardHinge, rewardRegression } from "./reward/points.ts";
import { distillation } from "./supervised/distillation.ts";
import { conditionalSft, raft, sft } from "./supervised/sft.ts";

export const losses: readonly Loss[] = [
  sft,
  raft,
  conditionalSft,
  distillation,
  bradleyTerry,
  corrective,
  pairClassification,
  preferenceModel,
  aihf,
  plackettLuce,
  rewardRegression,
  rewardClassification,
  rewardHinge,
  reinforce,
  rloo,
  remax,
  nashMd,
  grpo,
  drGrpo,
  dapo,
  cispo,
  gspo,
  sapo,
  ppo,
  raftPlusPlus,
  reinforceRej,
];

/** @throws InvariantError for a name that no loss has. */
export function lossNamed(name: string): Loss {
  const loss = losses.find((each) => each.name === name);
  assert(loss, `there is no loss '${name}'`);
  return loss;
}

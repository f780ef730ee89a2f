/** Every loss, by name: the list that the trainer, the command line, the docs and the tests read. */
import { assert } from "../../base/assert.ts";
import type { Loss } from "./define.ts";
import { bonbon } from "./list/bonbon.ts";
import { dpoPlackettLuce } from "./list/dpo-plackett-luce.ts";
import { lipo } from "./list/lipo.ts";
import { listPairs } from "./list/list-pairs.ts";
import { rrhf } from "./list/rrhf.ts";
import { alphapo } from "./pair/alphapo.ts";
import { aot } from "./pair/aot.ts";
import { apoDown } from "./pair/apo-down.ts";
import { apoZero } from "./pair/apo-zero.ts";
import { bcoPair } from "./pair/bco-pair.ts";
import { cdpo } from "./pair/cdpo.ts";
import { cpo } from "./pair/cpo.ts";
import { dilBce } from "./pair/dil-bce.ts";
import { dilLsif } from "./pair/dil-lsif.ts";
import { dilUkl } from "./pair/dil-ukl.ts";
import { discopop } from "./pair/discopop.ts";
import { dpo, onlineDpo } from "./pair/dpo.ts";
import { exo } from "./pair/exo.ts";
import { gsil } from "./pair/gsil.ts";
import { hinge } from "./pair/hinge.ts";
import { ipo } from "./pair/ipo.ts";
import { nca } from "./pair/nca.ts";
import { orpo } from "./pair/orpo.ts";
import { robust } from "./pair/robust.ts";
import { rpo } from "./pair/rpo.ts";
import { rpoRelative } from "./pair/rpo-relative.ts";
import { rpoRewardAware } from "./pair/rpo-reward-aware.ts";
import { simpo } from "./pair/simpo.ts";
import { slic } from "./pair/slic.ts";
import { spin } from "./pair/spin.ts";
import { sppo } from "./pair/sppo.ts";
import { wpo } from "./pair/wpo.ts";
import { cispo } from "./policy/cispo.ts";
import { dapo, drGrpo, grpo, raftPlusPlus, reinforceRej } from "./policy/clipped.ts";
import { gspo } from "./policy/gspo.ts";
import { ppo } from "./policy/ppo.ts";
import { nashMd, reinforce, remax, rloo } from "./policy/reinforce.ts";
import { sapo } from "./policy/sapo.ts";
import { adversarial } from "./reward/adversarial.ts";
import { aihf } from "./reward/aihf.ts";
import { bradleyTerry } from "./reward/bradley-terry.ts";
import { corrective } from "./reward/corrective.ts";
import { pairClassification, preferenceModel } from "./reward/pair-classification.ts";
import { plackettLuce } from "./reward/plackett-luce.ts";
import { rewardClassification, rewardHinge, rewardRegression } from "./reward/points.ts";
import { distillation } from "./supervised/distillation.ts";
import { conditionalSft, raft, sft } from "./supervised/sft.ts";
import { apoZeroUnpaired } from "./unpaired/apo-zero-unpaired.ts";
import { bco } from "./unpaired/bco.ts";
import { kto } from "./unpaired/kto.ts";

const supervisedLosses: readonly Loss[] = [sft, raft, conditionalSft, distillation];
const rewardLosses: readonly Loss[] = [
  bradleyTerry,
  corrective,
  pairClassification,
  preferenceModel,
  aihf,
  adversarial,
  plackettLuce,
  rewardRegression,
  rewardClassification,
  rewardHinge,
];
const pairLosses: readonly Loss[] = [
  dpo,
  onlineDpo,
  cdpo,
  robust,
  ipo,
  hinge,
  slic,
  exo,
  nca,
  bcoPair,
  sppo,
  aot,
  apoZero,
  apoDown,
  discopop,
  wpo,
  simpo,
  alphapo,
  cpo,
  orpo,
  rpo,
  rpoRelative,
  rpoRewardAware,
  dilLsif,
  dilUkl,
  dilBce,
  spin,
  gsil,
];

const unpairedLosses: readonly Loss[] = [kto, apoZeroUnpaired, bco];
const listLosses: readonly Loss[] = [dpoPlackettLuce, listPairs, lipo, rrhf, bonbon];

const policyLosses: readonly Loss[] = [
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

export const losses: readonly Loss[] = [
  ...supervisedLosses,
  ...rewardLosses,
  ...pairLosses,
  ...unpairedLosses,
  ...listLosses,
  ...policyLosses,
];

/** @throws InvariantError for a name that no loss has. */
export function lossNamed(name: string): Loss {
  const loss = losses.find((each) => each.name === name);
  assert(loss, `there is no loss '${name}'`);
  return loss;
}

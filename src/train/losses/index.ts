/** Every loss, by name: the list that the trainer, the command line, the docs and the tests read. */
import { assert } from "../../base/assert.ts";
import type { Loss } from "./define.ts";
import { bonbon } from "./list/bonbon.ts";
import { dpoPlackettLuce } from "./list/dpo-plackett-luce.ts";
import { lipo } from "./list/lipo.ts";
import { listPairs } from "./list/list-pairs.ts";
import { rrhf } from "./list/rrhf.ts";
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
import { dpo } from "./pair/dpo.ts";
import { exo } from "./pair/exo.ts";
import { gsil } from "./pair/gsil.ts";
import { hinge } from "./pair/hinge.ts";
import { ipo } from "./pair/ipo.ts";
import { nca } from "./pair/nca.ts";
import { orpo } from "./pair/orpo.ts";
import { robust } from "./pair/robust.ts";
import { rpo } from "./pair/rpo.ts";
import { simpo } from "./pair/simpo.ts";
import { slic } from "./pair/slic.ts";
import { spin } from "./pair/spin.ts";
import { sppo } from "./pair/sppo.ts";
import { adversarial } from "./reward/adversarial.ts";
import { bradleyTerry } from "./reward/bradley-terry.ts";
import { corrective } from "./reward/corrective.ts";
import { sft } from "./supervised/sft.ts";
import { apoZeroUnpaired } from "./unpaired/apo-zero-unpaired.ts";
import { bco } from "./unpaired/bco.ts";
import { kto } from "./unpaired/kto.ts";

const pairLosses: readonly Loss[] = [
  dpo,
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
  simpo,
  cpo,
  orpo,
  rpo,
  dilLsif,
  dilUkl,
  dilBce,
  spin,
  gsil,
];

const unpairedLosses: readonly Loss[] = [kto, apoZeroUnpaired, bco];
const listLosses: readonly Loss[] = [dpoPlackettLuce, listPairs, lipo, rrhf, bonbon];

export const losses: readonly Loss[] = [
  sft,
  bradleyTerry,
  corrective,
  adversarial,
  ...pairLosses,
  ...unpairedLosses,
  ...listLosses,
];

/** @throws InvariantError for a name that no loss has. */
export function lossNamed(name: string): Loss {
  const loss = losses.find((each) => each.name === name);
  assert(loss, `there is no loss '${name}'`);
  return loss;
}

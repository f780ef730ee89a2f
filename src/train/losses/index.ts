/** Every loss, by name: the list that the trainer, the command line, the docs and the tests read. */
import { assert } from "../../base/assert.ts";
import type { Loss } from "./define.ts";
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
import { bradleyTerry } from "./reward/bradley-terry.ts";
import { corrective } from "./reward/corrective.ts";
import { sft } from "./supervised/sft.ts";

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

export const losses: readonly Loss[] = [sft, bradleyTerry, corrective, ...pairLosses];

/** @throws InvariantError for a name that no loss has. */
export function lossNamed(name: string): Loss {
  const loss = losses.find((each) => each.name === name);
  assert(loss, `there is no loss '${name}'`);
  return loss;
}

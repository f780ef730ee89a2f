/** Every loss, by name: the list that the trainer, the command line, the docs and the tests read. */
import { assert } from "../../base/assert.ts";
import type { Loss } from "./define.ts";
import { dpo } from "./pair/dpo.ts";
import { bradleyTerry } from "./reward/bradley-terry.ts";
import { corrective } from "./reward/corrective.ts";
import { sft } from "./supervised/sft.ts";

export const losses: readonly Loss[] = [sft, bradleyTerry, corrective, dpo];

/** @throws InvariantError for a name that no loss has. */
export function lossNamed(name: string): Loss {
  const loss = losses.find((each) => each.name === name);
  assert(loss, `there is no loss '${name}'`);
  return loss;
}

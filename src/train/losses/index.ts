/** Every loss, by name: the list that the trainer, the command line, the docs and the tests read. */
import type { Loss } from "./define.ts";
import { bradleyTerry } from "./reward/bradley-terry.ts";
import { sft } from "./supervised/sft.ts";

export const losses: readonly Loss[] = [sft, bradleyTerry];

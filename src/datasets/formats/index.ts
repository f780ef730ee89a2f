/** All formats of training data, the more particular before the more general. */
import type { DatasetRow } from "../types.ts";
import type { DatasetFormat } from "./define.ts";
import { halos } from "./halos.ts";
import { hhRlhf } from "./hh-rlhf.ts";
import { listFormat } from "./list.ts";
import { messagesFormat } from "./messages.ts";
import { openaiPreference } from "./openai-preference.ts";
import { preference } from "./preference.ts";
import { prm800k } from "./prm800k.ts";
import { promptCompletion } from "./prompt-completion.ts";
import { promptOnly } from "./prompt-only.ts";
import { requestLog } from "./request-log.ts";
import { stepwise } from "./stepwise.ts";
import { textFormat } from "./text.ts";
import { unpaired } from "./unpaired.ts";

export const formats: readonly DatasetFormat[] = [
  requestLog,
  prm800k,
  halos,
  openaiPreference,
  hhRlhf,
  preference,
  unpaired,
  listFormat,
  stepwise,
  messagesFormat,
  promptCompletion,
  promptOnly,
  textFormat,
];

/** What rows of a kind are written as unless a format is named. */
export const formatOfKind: Readonly<Record<DatasetRow["kind"], DatasetFormat>> = {
  supervised: promptCompletion,
  pair: preference,
  rated: unpaired,
  list: listFormat,
  steps: stepwise,
  prompt: promptOnly,
};

/** All formats of training data, the more particular before the more general. */
import type { DatasetFormat } from "./define.ts";
import { messagesFormat } from "./messages.ts";
import { promptCompletion } from "./prompt-completion.ts";

export const formats: readonly DatasetFormat[] = [messagesFormat, promptCompletion];

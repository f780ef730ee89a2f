/** Demonstrations: prompts with the answers that somebody gave, of a file or of the embedded corpus. */
import { GatewayError } from "../../base/errors.ts";
import { createRandom, splitSeed } from "../../base/random.ts";
import { flawless, makeReply } from "../../corpus/index.ts";
import { hashOf, normalText, promptKey } from "../../datasets/prompt.ts";
import { openDataset } from "../../datasets/read.ts";
import type { PairRow } from "../../datasets/types.ts";
import { type BatchPrompt, type BatchPrompts, loadPrompts, type PromptOptions } from "./prompts.ts";
import type { SampledPrompt } from "./samples-file.ts";

export interface Demonstrations {
  readonly given: BatchPrompts;
  /** Of each prompt, by its key; one at least. */
  readonly answers: ReadonlyMap<string, readonly string[]>;
  /** SHA-256 of all answers. */
  readonly sha256: string;
}

/** The corpus' are without a flaw. @throws GatewayError as `loadPrompts`, and dataset_invalid for rows without an answer */
export async function loadDemonstrations(options: PromptOptions): Promise<Demonstrations> {
  const given = await loadPrompts(options);
  const isCorpus = given.prompts.some(({ corpus }) => corpus !== null);
  const answers = isCorpus ? madeFor(given.prompts, options.seed) : await readAnswers(options);
  return { given, answers, sha256: hashOf([...answers]) };
}

function madeFor(prompts: readonly BatchPrompt[], seed: number): Map<string, string[]> {
  return new Map(
    prompts.map(({ key, corpus }, i) => [
      key,
      corpus ? [makeReply(corpus, createRandom(splitSeed(seed, i)), flawless).text] : [],
    ]),
  );
}

async function readAnswers({ source, format, badRows }: PromptOptions) {
  const { rows } = await openDataset(source, {
    ...(format !== null && { format }),
    onInvalid: badRows === "drop" ? "skip" : "error",
  });
  const answers = new Map<string, string[]>();
  for await (const row of rows) {
    if (row.kind !== "supervised") {
      const problem = "it is no prompt with its answer, which a demonstration is";
      throw new GatewayError("dataset_invalid", { ...row.place, field: null, problem });
    }
    const key = promptKey(row.prompt);
    answers.set(key, [...(answers.get(key) ?? []), row.completion]);
  }
  return answers;
}

export interface OwnPairs {
  readonly rows: readonly PairRow[];
  /** Of own answers that can be compared those that are a demonstration. */
  readonly imitated: number;
  /** Own answers left out: cut before they ended, or empty. */
  readonly unfit: number;
}

/** Each demonstration against each of the policy's own answers to its prompt that is another one. */
export function ownPairs(
  prompts: readonly BatchPrompt[],
  sampled: readonly SampledPrompt[],
  { answers }: Pick<Demonstrations, "answers">,
  takesUnfinished: boolean,
): OwnPairs {
  const rows: PairRow[] = [];
  let [imitated, unfit] = [0, 0];
  for (const [i, { prompt, key, place }] of prompts.entries()) {
    const shown = answers.get(key) ?? [];
    const known = new Set(shown.map(normalText));
    for (const { text, isFinished } of sampled[i]!.answers) {
      const words = normalText(text);
      if (words === "" || !(isFinished || takesUnfinished)) unfit++;
      else if (known.has(words)) imitated++;
      else
        for (const chosen of shown)
          rows.push({ kind: "pair", prompt, chosen, rejected: text, demonstrated: true, place });
    }
  }
  return { rows, imitated, unfit };
}

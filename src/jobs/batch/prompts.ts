/** The prompts of a batch: of a file of any training format, or of the embedded corpus. Each comes once. */
import { GatewayError } from "../../base/errors.ts";
import {
  type CorpusPrompt,
  type Domain,
  domains,
  prompts,
  type Split,
} from "../../corpus/index.ts";
import { hashOf, promptKey } from "../../datasets/prompt.ts";
import { openDataset } from "../../datasets/read.ts";
import { isHeldOut } from "../../datasets/split.ts";
import type { DatasetPlace, DatasetPrompt } from "../../datasets/types.ts";
import type { Conversation, Policy } from "../../registry/types.ts";

export interface BatchPrompt {
  readonly prompt: DatasetPrompt;
  /** `promptKey` of it. */
  readonly key: string;
  readonly place: DatasetPlace;
  /** The right answer; null: nobody knows it. */
  readonly answer: string | null;
  /** With the facts by which an answer is right; null: nobody knows them. */
  readonly corpus: CorpusPrompt | null;
}

export interface PromptOptions {
  /** A file, or `corpus:<domain>:<count>`: so many of the corpus' training side. */
  readonly source: string;
  /** A format's name; null: the first rows tell. */
  readonly format: string | null;
  readonly badRows: "refuse" | "drop";
  /** Of the corpus' draws. */
  readonly seed: number;
}

export interface BatchPrompts {
  readonly prompts: readonly BatchPrompt[];
  /** Equal to an earlier one. */
  readonly repeated: number;
  /** Of rows that cannot be used. */
  readonly dropped: number;
}

const PROBLEMS_NAMED = 5;
/** Draws for one prompt that was not there yet, before the corpus counts as exhausted. */
const DRAWS_MAX = 1_000;

/** @throws GatewayError dataset_unusable, dataset_invalid, invalid_request, training_rows_unusable */
export async function loadPrompts(options: PromptOptions): Promise<BatchPrompts> {
  const asked = corpusAsked(options.source);
  const { prompts: found, faults } = asked
    ? { prompts: corpusPrompts({ ...asked, side: "train", seed: options.seed }), faults: [] }
    : await readPrompts(options);
  refuseFaults(faults, options.badRows);
  const distinct = [...new Map(found.toReversed().map((each) => [each.key, each])).values()];
  if (distinct.length === 0) {
    const remedy = "Name a file with at least one prompt.";
    const problem = "it has no prompt";
    throw new GatewayError("dataset_unusable", { file: options.source, problem, remedy });
  }
  return {
    prompts: distinct.toReversed(),
    repeated: found.length - distinct.length,
    dropped: faults.length,
  };
}

/** Without those that the policy cannot read. @throws GatewayError training_rows_unusable */
export function readableBy(
  policy: Policy,
  { prompts: given, ...counts }: BatchPrompts,
  badRows: PromptOptions["badRows"],
): BatchPrompts {
  const faults: Fault[] = [];
  const readable = given.filter(({ prompt, place }) => {
    try {
      policy.encode(conversationOf(prompt));
      return true;
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      faults.push({ ...place, problem: error.message });
      return false;
    }
  });
  refuseFaults(faults, readable.length === 0 ? "refuse" : badRows);
  return { ...counts, prompts: readable, dropped: counts.dropped + faults.length };
}

/** What the embedded corpus was asked for; null: the source is a file. @throws GatewayError invalid_request */
function corpusAsked(source: string): { domain: Domain; count: number } | null {
  if (!source.startsWith("corpus:")) return null;
  const [, name, digits = ""] = source.split(":");
  const domain = domains.find((each) => each === name);
  const count = Number(digits);
  if (domain && Number.isSafeInteger(count) && count > 0) return { domain, count };
  const problem = `'${source}' is no part of the corpus; write corpus:<domain>:<count>, where domain is ${domains.join(" or ")}`;
  throw new GatewayError("invalid_request", { param: "--prompts", problem });
}

interface CorpusAsked {
  readonly domain: Domain;
  readonly side: Split;
  readonly count: number;
  readonly seed: number;
}

/** Distinct ones. @throws GatewayError invalid_request for more than the corpus has. */
export function corpusPrompts({ domain, side, count, seed }: CorpusAsked): BatchPrompt[] {
  const source = prompts(domain, side, seed);
  const found = new Map<string, BatchPrompt>();
  for (let draws = 0; found.size < count; draws++) {
    if (draws > DRAWS_MAX + 10 * count) {
      const problem = `the corpus has about ${found.size} prompts of ${domain}, not ${count}`;
      throw new GatewayError("invalid_request", { param: "--prompts", problem });
    }
    const corpus = source.next().value;
    const prompt = { messages: corpus.messages };
    const key = promptKey(prompt);
    if (found.has(key)) continue;
    const place = { file: `corpus:${domain}:${side}`, line: found.size + 1 };
    const { facts } = corpus;
    const answer = facts.domain === "arithmetic" ? String(facts.answer) : null;
    found.set(key, { prompt, key, place, answer, corpus });
  }
  return [...found.values()];
}

/** The corpus has a held-out side of its own; of a file's prompts a share is set apart by their hash. */
export function splitHeldOut(
  { prompts: given }: BatchPrompts,
  { source, seed, share, count }: { source: string; seed: number; share: number; count: number },
): { prompts: readonly BatchPrompt[]; heldOut: readonly BatchPrompt[] } {
  const asked = corpusAsked(source);
  if (asked) {
    const { domain } = asked;
    const heldOut = count === 0 ? [] : corpusPrompts({ domain, side: "heldout", count, seed });
    return { prompts: given, heldOut };
  }
  if (share === 0) return { prompts: given, heldOut: [] };
  const isHeld = ({ prompt, place }: BatchPrompt) =>
    isHeldOut({ kind: "prompt", prompt, place }, { share, seed });
  return {
    prompts: given.filter((each) => !isHeld(each)),
    heldOut: given.filter(isHeld).slice(0, count),
  };
}

/** SHA-256, hexadecimal, of the prompts in their order. */
export const hashOfPrompts = (given: readonly BatchPrompt[]): string =>
  hashOf(given.map(({ prompt }) => prompt));

export const conversationOf = (prompt: DatasetPrompt): Conversation =>
  "text" in prompt
    ? { kind: "text", text: prompt.text }
    : { kind: "chat", messages: prompt.messages };

type Fault = DatasetPlace & { readonly problem: string };

async function readPrompts({ source, format, badRows }: PromptOptions) {
  const { rows, report } = await openDataset(source, {
    ...(format !== null && { format }),
    onInvalid: badRows === "drop" ? "skip" : "error",
  });
  const found: BatchPrompt[] = [];
  const faults: Fault[] = [];
  for await (const row of rows) {
    const { prompt, place } = row;
    const answer = (row.kind === "prompt" && row.answer) || null;
    const isEmpty = "text" in prompt ? prompt.text.trim() === "" : prompt.messages.length === 0;
    if (isEmpty) faults.push({ ...place, problem: "it has no prompt" });
    else found.push({ prompt, key: promptKey(prompt), place, answer, corpus: null });
  }
  for (const { place, problem } of report.problems) faults.push({ ...place, problem });
  return { prompts: found, faults };
}

export function refuseFaults(faults: readonly Fault[], badRows: PromptOptions["badRows"]): void {
  if (faults.length === 0 || badRows === "drop") return;
  const problems = faults.slice(0, PROBLEMS_NAMED);
  throw new GatewayError("training_rows_unusable", { problems, total: faults.length });
}

/** What a set of training rows is like: how many, how long, how balanced. Counts as the rows pass by. */
import { quantileOfSorted } from "../base/statistics.ts";
import { rowKey } from "./duplicates.ts";
import { characters, promptKey } from "./prompt.ts";
import type { DatasetRow, PairRow } from "./types.ts";

export interface Quantiles {
  readonly mean: number;
  readonly min: number;
  readonly p5: number;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

export interface DatasetStatistics {
  readonly rows: number;
  readonly kinds: Readonly<Partial<Record<DatasetRow["kind"], number>>>;
  /** Different ones, by their words. */
  readonly prompts: number;
  /** Rows that repeat an earlier one. */
  readonly duplicates: number;
  /** In the unit that the lengths were measured in; null without any. */
  readonly promptLength: Quantiles | null;
  readonly answerLength: Quantiles | null;
  /** Of single answers and of lists, finite ones. */
  readonly reward: Quantiles | null;
  readonly pairs: PairStatistics | null;
  /** Share of rated answers that are desirable; null without any. */
  readonly desirableShare: number | null;
  readonly lists: ListStatistics | null;
  readonly steps: StepStatistics | null;
}

export interface PairStatistics {
  /** Share of pairs whose chosen answer is the longer one: far from a half, length is what is learned first. */
  readonly chosenLongerShare: number;
  readonly margin: Quantiles | null;
  /** Pairs that an earlier one puts the other way round. */
  readonly contradictory: number;
}

export interface ListStatistics {
  readonly answers: Quantiles;
  /** Answers without a reward. */
  readonly unrewarded: number;
  /** Share of lists whose rewards are all the same, which no comparison can be learned from. */
  readonly flatShare: number;
}

export interface StepStatistics {
  /** Of an answer. */
  readonly steps: Quantiles;
  readonly unjudged: number;
  /** Of the judged ones, as they stand in the rows: right ones are 1. */
  readonly label: Quantiles;
}

/** Of a text: its characters unless a tokenizer counts. */
export type Measure = (text: string) => number;

export class DatasetCounter {
  readonly #measure: Measure;
  readonly #kinds: Partial<Record<DatasetRow["kind"], number>> = {};
  readonly #prompts = new Set<string>();
  readonly #seen = new Set<string>();
  readonly #promptLengths: number[] = [];
  readonly #answerLengths: number[] = [];
  readonly #rewards: number[] = [];
  readonly #margins: number[] = [];
  readonly #listSizes: number[] = [];
  readonly #stepCounts: number[] = [];
  readonly #stepLabels: number[] = [];
  #rows = 0;
  #duplicates = 0;
  #chosenLonger = 0;
  #contradictory = 0;
  #desirable = 0;
  #unrewarded = 0;
  #flat = 0;
  #unjudged = 0;

  constructor(measure: Measure = characters) {
    this.#measure = measure;
  }

  add(row: DatasetRow): void {
    this.#rows++;
    this.#kinds[row.kind] = (this.#kinds[row.kind] ?? 0) + 1;
    const prompt = promptKey(row.prompt);
    this.#prompts.add(prompt);
    const key = rowKey(row, prompt);
    if (this.#seen.has(key)) this.#duplicates++;
    this.#seen.add(key);
    this.#promptLengths.push(this.#promptLength(row));
    this.#addAnswers(row, prompt);
  }

  get statistics(): DatasetStatistics {
    const { pair = 0, rated = 0, list = 0 } = this.#kinds;
    return {
      rows: this.#rows,
      kinds: this.#kinds,
      prompts: this.#prompts.size,
      duplicates: this.#duplicates,
      promptLength: quantilesOf(this.#promptLengths),
      answerLength: quantilesOf(this.#answerLengths),
      reward: quantilesOf(this.#rewards),
      pairs:
        pair === 0
          ? null
          : {
              chosenLongerShare: this.#chosenLonger / pair,
              margin: quantilesOf(this.#margins),
              contradictory: this.#contradictory,
            },
      desirableShare: rated === 0 ? null : this.#desirable / rated,
      lists:
        list === 0
          ? null
          : {
              answers: quantilesOf(this.#listSizes)!,
              unrewarded: this.#unrewarded,
              flatShare: this.#flat / list,
            },
      steps:
        this.#stepLabels.length === 0
          ? null
          : {
              steps: quantilesOf(this.#stepCounts)!,
              unjudged: this.#unjudged,
              label: quantilesOf(this.#stepLabels)!,
            },
    };
  }

  #addAnswers(row: DatasetRow, prompt: string): void {
    switch (row.kind) {
      case "supervised":
        this.#addAnswer(row.completion);
        if (row.reward !== undefined) this.#rewards.push(row.reward);
        break;
      case "rated":
        this.#addAnswer(row.completion);
        if (row.desirable) this.#desirable++;
        break;
      case "pair":
        this.#addPair(row, prompt);
        break;
      case "list": {
        for (const completion of row.completions) this.#addAnswer(completion);
        const rewards = row.rewards.filter(Number.isFinite);
        for (const reward of rewards) this.#rewards.push(reward);
        this.#listSizes.push(row.completions.length);
        this.#unrewarded += row.rewards.length - rewards.length;
        if (new Set(rewards).size <= 1) this.#flat++;
        break;
      }
      case "steps": {
        this.#addAnswer(row.steps.join(" "));
        const judged = row.labels.filter(Number.isFinite);
        for (const label of judged) this.#stepLabels.push(label);
        this.#stepCounts.push(row.steps.length);
        this.#unjudged += row.labels.length - judged.length;
        break;
      }
      case "prompt":
        break;
    }
  }

  #addPair(row: PairRow, prompt: string): void {
    const chosen = this.#addAnswer(row.chosen);
    const rejected = this.#addAnswer(row.rejected);
    if (chosen > rejected) this.#chosenLonger++;
    if (row.margin !== undefined) this.#margins.push(row.margin);
    const reversed = { ...row, chosen: row.rejected, rejected: row.chosen };
    if (this.#seen.has(rowKey(reversed, prompt))) this.#contradictory++;
  }

  #addAnswer(text: string): number {
    const length = this.#measure(text);
    this.#answerLengths.push(length);
    return length;
  }

  #promptLength({ prompt }: DatasetRow): number {
    if ("text" in prompt) return this.#measure(prompt.text);
    return prompt.messages.reduce((sum, { content }) => sum + this.#measure(content), 0);
  }
}

function quantilesOf(values: readonly number[]): Quantiles | null {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => quantileOfSorted(sorted, share);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, min: at(0), p5: at(0.05), p50: at(0.5), p95: at(0.95), max: at(1) };
}

/** Which rows say the same, whatever the space between their words. */
import { hashOf, normalText, promptKey } from "./prompt.ts";
import type { DatasetRow } from "./types.ts";

export type DuplicateRule =
  /** Prompt, answers and labels are equal. */
  | "row"
  /** The prompt is: one row of each is kept. */
  | "prompt";

/** Passes the first of equal rows, and says how many it has kept back. */
export class DistinctRows {
  readonly #rule: DuplicateRule;
  readonly #seen = new Set<string>();
  dropped = 0;

  constructor(rule: DuplicateRule) {
    this.#rule = rule;
  }

  isNew(row: DatasetRow): boolean {
    const key = this.#rule === "prompt" ? promptKey(row.prompt) : rowKey(row);
    if (this.#seen.has(key)) {
      this.dropped++;
      return false;
    }
    this.#seen.add(key);
    return true;
  }
}

/**
 * Rewards and margins are not part of it: an answer that was judged twice is still the same.
 * @param prompt `promptKey` of the row's prompt.
 */
export function rowKey(row: DatasetRow, prompt = promptKey(row.prompt)): string {
  return hashOf([row.kind, prompt, ...contentOf(row)]);
}

function contentOf(row: DatasetRow): unknown[] {
  switch (row.kind) {
    case "supervised":
      return [normalText(row.completion), row.trainedTurns ?? []];
    case "pair":
      return [normalText(row.chosen), normalText(row.rejected)];
    case "rated":
      return [normalText(row.completion), row.desirable];
    case "list":
      return row.completions.map(normalText);
    case "steps":
      return [row.steps.map(normalText), row.labels.map(String)];
    case "prompt":
      return [];
  }
}

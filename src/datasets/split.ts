/** Rows held out by a hash of their prompt: which side a prompt falls on depends on nothing but itself and the seed. */
import { createHash } from "node:crypto";
import { hashOf, normalText, promptKey } from "./prompt.ts";
import type { DatasetRow } from "./types.ts";

export interface SplitOptions {
  /** Of prompts that are held out, in (0, 1); on average. */
  readonly share: number;
  /** Another one holds out others. Default 0. */
  readonly seed?: number;
}

/**
 * Rows of one prompt are all on one side, whatever their order and whatever else is there: rows that are added later move
 * none of the others.
 */
export function isHeldOut(row: DatasetRow, { share, seed = 0 }: SplitOptions): boolean {
  const hash = createHash("sha256")
    .update(`${seed}\n${splitKey(row)}`)
    .digest();
  return hash.readUIntBE(0, 6) / 2 ** 48 < share;
}

/** Plain texts have no prompt; each counts as one of its own. */
function splitKey(row: DatasetRow): string {
  const { prompt } = row;
  const isPlain = "text" in prompt && prompt.text === "" && row.kind === "supervised";
  return isPlain ? hashOf(normalText(row.completion)) : promptKey(prompt);
}

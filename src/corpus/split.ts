/** Which side a prompt is on, and its id: both follow from the content alone. */
import { createHash } from "node:crypto";
import type { Domain, Split } from "./types.ts";

/** One prompt in ten is held out. */
const heldoutOneIn = 10;

function contentHash(content: string): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Stable on every machine and independent of seeds, so the two sides are disjoint by construction. */
export function split(content: string): Split {
  const bits = Number.parseInt(contentHash(content).slice(0, 8), 16);
  return bits % heldoutOneIn === 0 ? "heldout" : "train";
}

export function promptId(domain: Domain, content: string): string {
  return `${domain}-${contentHash(content).slice(0, 12)}`;
}

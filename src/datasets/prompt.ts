/** When two prompts are one, and two texts equal: by their words, whatever the space between them. */
import { createHash } from "node:crypto";
import type { DatasetPrompt } from "./types.ts";

/** Runs of white space become one space, those at the ends nothing; composed and decomposed letters are the same. */
export const normalText = (text: string): string =>
  text.normalize("NFC").replace(/\s+/g, " ").trim();

export const sameText = (a: string, b: string): boolean =>
  a === b || normalText(a) === normalText(b);

/** SHA-256, hexadecimal, of roles and normalised texts: the same for a prompt wherever it is read. */
export function promptKey(prompt: DatasetPrompt): string {
  const parts =
    "text" in prompt
      ? normalText(prompt.text)
      : prompt.messages.map(({ role, content, name }) => [role, name ?? null, normalText(content)]);
  return hashOf(parts);
}

export const hashOf = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex");

/** When two prompts are one, and two texts equal: by their words, whatever the space between them. */
import { createHash } from "node:crypto";
import type { DatasetPrompt } from "./types.ts";

/** Runs of white space become one space, those at the ends nothing; composed and decomposed letters are the same. */
export const normalText = (text: string): string =>
  isNormal(text) ? text : text.normalize("NFC").replace(/\s+/g, " ").trim();

/** Of most texts a look tells: ASCII, with single spaces between words. */
const isNormal = (text: string): boolean =>
  !/[^ -~]| {2}/.test(text) && !text.startsWith(" ") && !text.endsWith(" ");

/** Code points. */
export const characters = (text: string): number =>
  /[\uD800-\uDBFF]/.test(text) ? Array.from(text).length : text.length;

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

/**
 * The final answer of a text, and one form for all spellings of an answer: what rules compare and votes count.
 * Sources: GSM8K's "####" (Cobbe et al., arXiv:2110.14168), \boxed{} and its spellings (Hendrycks et al.,
 * arXiv:2103.03874), normalised words (SQuAD's evaluation script; Rajpurkar et al., arXiv:1606.05250).
 */
import { exactText, findNumbers, fraction, plain, readNumber } from "./numbers.ts";

/** Where an answer stands in a text. */
export const answerPlaces = [
  "auto",
  "whole",
  "last-line",
  "last-number",
  "boxed",
  "hashes",
  "tag",
  "marker",
] as const;
export type AnswerPlace = (typeof answerPlaces)[number];

export interface FinalAnswerRule {
  readonly from: AnswerPlace;
  /** What the answer follows, for `marker`; case does not matter. */
  readonly marker?: string;
}

const THOUGHT_END = "</think>";
const PASSES_MAX = 8;

/**
 * The final answer as it is written, trimmed; null when the text has none. What stands before the last `</think>` is
 * no answer, except for `whole`.
 * `whole`: all of it. `last-line`: the last line that is not blank. `last-number`: "1,234.5", "1/2", "50%".
 * `boxed`: inside of the last \boxed{…}. `hashes`: after the last "####". `tag`: the last <answer>…</answer>.
 * `marker`: after the last `marker`, to the end of its line. `auto`: what is marked (`markedAnswer`), else the last
 * number, else the last line.
 */
export function finalAnswer(
  text: string,
  { from, marker = "Answer:" }: FinalAnswerRule,
): string | null {
  const spoken = withoutThoughts(text);
  switch (from) {
    case "whole":
      return text.trim() || null;
    case "last-line":
      return lastLine(spoken);
    case "last-number":
      return findNumbers(plain(spoken)).at(-1)?.text ?? null;
    case "boxed":
      return boxed(spoken);
    case "hashes":
      return afterLast(spoken, "####");
    case "tag":
      return tagged(spoken);
    case "marker":
      return afterLast(spoken, marker);
    case "auto":
      return (
        markedAnswer(spoken) ?? finalAnswer(spoken, { from: "last-number" }) ?? lastLine(spoken)
      );
  }
}

/** What follows the last `</think>`. */
export function withoutThoughts(text: string): string {
  const end = text.lastIndexOf(THOUGHT_END);
  return end < 0 ? text : text.slice(end + THOUGHT_END.length);
}

/** The answer that a text marks as such: boxed, else after "####", else tagged, else after "answer:" or "answer is". */
export const markedAnswer = (text: string): string | null =>
  boxed(text) ?? afterLast(text, "####") ?? tagged(text) ?? announced(text);

function lastLine(text: string): string | null {
  const line = text.trimEnd().split("\n").at(-1)!;
  return line.trim() || null;
}

/** NOTE: braces are counted, since answers hold some: \boxed{\frac{1}{2}}. */
function boxed(text: string): string | null {
  const start = Math.max(text.lastIndexOf("\\boxed{"), text.lastIndexOf("\\fbox{"));
  if (start < 0) return null;
  const open = text.indexOf("{", start);
  for (let at = open, depth = 0; at < text.length; at++) {
    if (text[at] === "{") depth += 1;
    if (text[at] === "}") depth -= 1;
    if (depth === 0) return text.slice(open + 1, at).trim() || null;
  }
  return null;
}

function tagged(text: string): string | null {
  const end = text.lastIndexOf("</answer>");
  const start = end < 0 ? -1 : text.lastIndexOf("<answer>", end);
  return start < 0 ? null : text.slice(start + "<answer>".length, end).trim() || null;
}

function afterLast(text: string, marker: string): string | null {
  // NOTE: toLowerCase may change lengths ("İ"); only ASCII letters are matched without regard to case.
  const low = (part: string) => part.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  const at = low(text).lastIndexOf(low(marker));
  return at < 0 ? null : restOfLine(text.slice(at + marker.length));
}

function announced(text: string): string | null {
  const last = [...text.matchAll(/\banswer(?:\s+is\b|\**\s*[:=])/giu)].at(-1);
  return last ? restOfLine(text.slice(last.index + last[0].length)) : null;
}

/** Without the emphasis and the stop that a sentence wraps an answer in: ": **42**." is 42. */
function restOfLine(rest: string): string | null {
  const line = rest.trimStart().split("\n", 1)[0]!.trimEnd();
  const bare = withoutEdges(withoutStop(withoutEdges(line))).trim();
  return bare || null;
}

/** Without emphasis, colons and white space at the ends. */
function withoutEdges(text: string): string {
  const isEdge = (at: number) => /[\s*_`]/.test(text[at] ?? "x");
  let [start, end] = [0, text.length];
  while (isEdge(start) || text[start] === ":") start += 1;
  while (end > start && isEdge(end - 1)) end -= 1;
  return text.slice(start, end);
}

export interface CanonicalRule {
  /** Whether 50% is 0.5; else a percentage equals percentages only. */
  readonly percentIsShare?: boolean;
}

/**
 * One form for all spellings of an answer; two answers are the same when their forms are. Applied to a form it gives
 * that form again.
 * A number: its exact value ("1,000", "1000.0", "1e3", "$1000" are 1000; "1/2", "\frac12" are 0.5; 1/3 stays 1/3).
 * Something to calculate ("x^2 + 1", "(1, 2)"): lower-cased, without white space; it is not simplified.
 * Words: lower-cased, without punctuation and articles, runs of white space as one space.
 */
export function canonical(answer: string, { percentIsShare = false }: CanonicalRule = {}): string {
  let form = answer;
  // What one pass takes away may let the next see more, as in "^ ."; few answers need a third.
  for (let pass = 0; pass < PASSES_MAX; pass++) {
    const next = evened(form, percentIsShare);
    if (next === form) break;
    form = next;
  }
  return form;
}

function evened(answer: string, percentIsShare: boolean): string {
  const bare = unwrapped(plain(answer));
  const numeral = canonicalNumber(bare, percentIsShare);
  if (numeral !== null) return numeral;
  if (isExpression(bare)) return bare.toLowerCase().replace(/\s+/gu, "");
  return canonicalWords(bare);
}

/** The number's exact value; null for what is no number. */
function canonicalNumber(text: string, percentIsShare: boolean): string | null {
  const number = readNumber(text);
  if (!number) return null;
  const { value, isPercent } = number;
  if (!isPercent) return exactText(value);
  if (!percentIsShare) return `${exactText(value)}%`;
  return exactText(fraction(value.numerator, value.denominator * 100n)!);
}

/** Without the signs of mathematics and emphasis around it, a sentence's stop, and the "x =" of a solution. */
function unwrapped(text: string, layersMax = 8): string {
  const trimmed = withoutStop(text.trim());
  const inner =
    between(trimmed, "$") ?? between(trimmed, "*_`") ?? inDelimiters(trimmed) ?? solution(trimmed);
  return inner === null || inner.trim() === "" || layersMax === 0
    ? trimmed
    : unwrapped(inner, layersMax - 1);
}

const withoutStop = (text: string) =>
  text.endsWith(".") && !/^[\s.]?$/.test(text.at(-2) ?? "") ? text.slice(0, -1) : text;

/** What stands between runs of the marks at both ends, if there is none within. Linear in the length. */
function between(text: string, marks: string): string | null {
  const isMark = (at: number) => marks.includes(text[at] ?? " ");
  let [start, end] = [0, text.length];
  while (isMark(start)) start += 1;
  while (end > start && isMark(end - 1)) end -= 1;
  if (start === 0 || end === text.length) return null;
  const inner = text.slice(start, end);
  return marks.split("").some((mark) => inner.includes(mark)) ? null : inner;
}

const inDelimiters = (text: string): string | null =>
  /^\\\(.*\\\)$|^\\\[.*\\\]$/s.test(text) ? text.slice(2, -2) : null;

/** "x = 5" → "5" */
function solution(text: string): string | null {
  const [name] = /^[a-z]\s*=/iu.exec(text) ?? [];
  const value = name === undefined ? null : text.slice(name.length);
  return value?.includes("=") ? null : value;
}

/** Whether punctuation carries the meaning: operators, a minus or slash between operands, brackets around numbers. */
const isExpression = (text: string) =>
  /[\\^=<>+*√π±×÷∪∩]|[\d)\]}]\s*[-/]\s*[\w([{]|\b[a-z]\s*[-/]\s*(?:\d|[a-z]\b)|(?<!\S)-(?:[a-z](?![a-z])|\()|[[({]\s*-?[\d.]/iu.test(
    text,
  );

/**
 * SQuAD's normalisation, with two of its losses mended: articles go only where something is left without them (the
 * choice "A" is an answer), and so does punctuation; and it stays between digits, so that "1,2" is not 12.
 */
export function canonicalWords(text: string): string {
  const lower = text.toLowerCase();
  const spaced = withoutArticles(withoutPunctuation(lower)).replace(/\s+/gu, " ").trim();
  return spaced || lower.replace(/\s+/gu, " ").trim();
}

export const withoutPunctuation = (text: string): string =>
  text.replace(/[\p{P}\p{S}]+/gu, (run, at: number) => {
    const next = text[at + run.length] ?? "";
    const isBetweenDigits = /\d/.test(text[at - 1] ?? "") && /\d/.test(next);
    if (isBetweenDigits) return run;
    const isSign = run.endsWith("-") && /\d/.test(next) && !/\S/.test(text[at - 1] ?? "");
    return isSign ? "-" : "";
  });

export function withoutArticles(text: string): string {
  const rest = text.replace(/(?<![\p{L}\p{N}])(?:an?|the)(?![\p{L}\p{N}])/giu, " ");
  return rest.trim() === "" ? text : rest;
}

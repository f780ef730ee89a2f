/**
 * Gold reward of a support reply, exact and total: any text has one.
 *
 *   remedy   +1 the one right remedy and no other · −1 a wrong one, or several · −0.5 none
 *   name, order, product, each
 *            +0.5 right · −0.5 wrong anywhere in the text · 0 not mentioned
 *   tone     +0.5 two or more polite sentences and none rude · −0.5 a rude one · 0 otherwise
 *   length   +0.5 nothing superfluous · 0 one superfluous sentence · −0.5 more, or no remedy at all
 *   form     in [−1, 0]: −0.25 for each sentence that the desk does not use
 *
 * Superfluous: a filler, a strange sentence, a second one of a role. Only the desk's own sentences earn, so
 * lists of keywords, several remedies at once or repetition never pay. Total in [−4.5, 3.5]; 3.5 is
 * reached by replies with every aspect right only.
 */
import { names } from "../names.ts";
import type { GoldReward, SupportFacts } from "../types.ts";
import { products } from "./products.ts";
import { type ReadSentence, readReply } from "./read.ts";

export function goldOfReply(facts: SupportFacts, text: string): GoldReward {
  const sentences = readReply(text);
  const parts = {
    remedy: scoreRemedy(sentences, facts),
    name: scoreFact(mentions(sentences, "name"), facts.name, wordsOf(text, nameWords)),
    order: scoreFact(mentions(sentences, "order"), facts.order, wordsOf(text, numberWords)),
    product: scoreFact(mentions(sentences, "product"), facts.product, wordsOf(text, productWords)),
    tone: scoreTone(sentences),
    length: scoreLength(sentences),
    form: Math.max(-1, 0 - 0.25 * sentences.filter(({ phrase }) => phrase === null).length),
  };
  const total = Object.values(parts).reduce((sum, part) => sum + part, 0);
  const correct =
    parts.remedy === 1 && [parts.name, parts.order, parts.product].every((fact) => fact === 0.5);
  return { total, parts, correct };
}

function scoreRemedy(sentences: readonly ReadSentence[], facts: SupportFacts): number {
  const given = sentences.flatMap(({ phrase }) => phrase?.remedy ?? []);
  if (given.length === 0) return -0.5;
  return given.every((remedy) => remedy === facts.remedy) ? 1 : -1;
}

/** @param known all known values of the fact found anywhere, strange sentences included. */
function scoreFact(said: readonly string[], right: string, known: readonly string[]): number {
  if ([...said, ...known].some((value) => value !== right)) return -0.5;
  return said.length > 0 ? 0.5 : 0;
}

function mentions(sentences: readonly ReadSentence[], slot: string): string[] {
  return sentences.flatMap(({ slots }) => slots[slot] ?? []);
}

function wordsOf(text: string, pattern: RegExp): string[] {
  return text.match(pattern) ?? [];
}

const nameWords = new RegExp(`\\b(?:${names.join("|")})\\b`, "g");
// The policy's own numbers (30 days) have two digits.
const numberWords = /\d{3,}|(?<=#)\d+/g;
// Longest first: "garden hose" before a shorter product that it could contain.
const productWords = new RegExp(
  `\\b(?:${[...products].sort((a, b) => b.length - a.length).join("|")})\\b`,
  "g",
);

function scoreTone(sentences: readonly ReadSentence[]): number {
  const tones = sentences.map(({ phrase }) => phrase?.tone);
  if (tones.includes("rude")) return -0.5;
  return tones.filter((tone) => tone === "polite").length >= 2 ? 0.5 : 0;
}

function scoreLength(sentences: readonly ReadSentence[]): number {
  if (!sentences.some(({ phrase }) => phrase?.role === "remedy")) return -0.5;
  const useful = new Set(
    sentences.flatMap(({ phrase }) => (phrase && phrase.role !== "filler" ? [phrase.role] : [])),
  ).size;
  const superfluous = sentences.length - useful;
  if (superfluous === 0) return 0.5;
  return superfluous === 1 ? 0 : -0.5;
}

/** Texts broken the way a small model breaks them: cut short, a sentence lost, said twice or torn apart. */
import type { Random } from "../base/random.ts";
import { between, pick } from "./draw.ts";

export function damage(text: string, random: Random): string {
  const units = text.split(/(?<=[.!?\n])\s*/);
  const k = random.integer(units.length);
  const separator = text.includes("\n") ? "\n" : " ";
  const join = (list: readonly string[]) => list.map((unit) => unit.trim()).join(separator);
  switch (pick(random, ["cut", "lost", "twice", "torn"] as const)) {
    case "cut":
      return text.slice(0, between(random, Math.floor(text.length / 4), text.length - 2)).trimEnd();
    case "lost":
      return join(units.toSpliced(k, 1));
    case "twice":
      return join(units.toSpliced(k, 0, units[k]!));
    case "torn":
      return join(units.with(k, withoutWord(units[k]!, random)));
  }
}

function withoutWord(sentence: string, random: Random): string {
  const words = sentence.split(" ");
  return words.toSpliced(random.integer(words.length), 1).join(" ");
}

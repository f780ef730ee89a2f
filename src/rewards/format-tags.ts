/**
 * Whether an answer is its tagged parts and nothing else: <think>…</think><answer>…</answer>, each once, in order, none
 * within another, with white space between them and text in them: `matched`, else `unmatched`. With `partial`, the
 * share of tags that stand once, opened before closed, in their place among the others, between the two; what stands
 * outside then costs as much as one tag. Cost: nothing.
 * Source: the format reward of DeepSeek-R1, arXiv:2501.12948, §2.2.2.
 */
import { Type } from "typebox";
import { defineReward } from "./define.ts";
import { ruleReward } from "./rule.ts";
import { rangeOf, worthOf, worthOptions } from "./verdict.ts";

export const formatTags = defineReward({
  name: "format-tags",
  description: "Whether the answer consists of its tagged parts, each once and in order.",
  isInline: true,
  options: Type.Object({
    tags: Type.Array(Type.String({ pattern: "^[A-Za-z][A-Za-z0-9_-]{0,40}$" }), {
      minItems: 1,
      maxItems: 16,
      uniqueItems: true,
      default: ["think", "answer"],
    }),
    opened: Type.Boolean({
      default: false,
      description: "whether the prompt opens the first tag, as some chat templates do",
    }),
    partial: Type.Boolean({ default: false, description: "whether some of it counts" }),
    allows_empty: Type.Boolean({
      default: false,
      description: "whether a part may hold white space only",
    }),
    allows_outside: Type.Boolean({
      default: false,
      description: "whether text may stand outside of the parts",
    }),
    ...worthOptions,
  }),
  create(id, options, _world) {
    const { tags, opened, partial } = options;
    const range = rangeOf(worthOf(0, options), worthOf(1, options));
    const rule = { kind: "format-tags", options, acceptsPrefixes: false, range };
    return ruleReward(id, rule, (text) => {
      const share = shareOf(opened ? `<${tags[0]!}>${text}` : text, options);
      return worthOf(partial ? share : Math.floor(share), options);
    });
  },
});

interface TagRule {
  readonly tags: readonly string[];
  readonly allows_empty: boolean;
  readonly allows_outside: boolean;
}

interface Mark {
  readonly mark: string;
  readonly start: number;
  readonly end: number;
}

/** @returns in [0, 1]; 1 only where everything is right. */
function shareOf(
  text: string,
  { tags, allows_empty: allowsEmpty, allows_outside: allowsOutside }: TagRule,
): number {
  const marks = [...text.matchAll(new RegExp(`</?(?:${tags.join("|")})>`, "g"))].map(
    (match): Mark => ({ mark: match[0], start: match.index, end: match.index + match[0].length }),
  );
  const parts = tags.map((tag) => partOf(tag, marks));
  let last = 0;
  let right = 0;
  let outside = "";
  for (const part of parts) {
    if (!part || part.start < last) continue;
    if (allowsEmpty || text.slice(part.innerStart, part.innerEnd).trim() !== "") right += 1;
    outside += text.slice(last, part.start);
    last = part.end;
  }
  outside += text.slice(last);
  const isClean = allowsOutside || outside.trim() === "";
  return (right + Number(isClean && right > 0)) / (tags.length + 1);
}

/** Where a tag's part is; null unless it is opened once, then closed once, with no other mark in between. */
function partOf(tag: string, marks: readonly Mark[]) {
  const own = marks.filter(({ mark }) => mark === `<${tag}>` || mark === `</${tag}>`);
  const [open, close] = own;
  if (own.length !== 2 || open?.mark !== `<${tag}>` || close?.mark !== `</${tag}>`) return null;
  if (marks.indexOf(close) !== marks.indexOf(open) + 1) return null;
  return { start: open.start, innerStart: open.end, innerEnd: close.start, end: close.end };
}

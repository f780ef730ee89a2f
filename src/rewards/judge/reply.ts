/** What a judge's reply says. Null: nothing clear; whoever asked decides what that means. */

export interface Scale {
  readonly min: number;
  readonly max: number;
}

/** How a rating is asked for, and how it is read. */
export interface ReplyForm {
  /** Fills {reply} of a prompt. */
  readonly instruction: (scale: Scale) => string;
  readonly read: (reply: string) => number | null;
}

const decimal = "-?\\d+(?:\\.\\d+)?";

export const replyForms: Readonly<Record<"rating" | "number" | "json", ReplyForm>> = {
  /**
   * MT-bench's form (Zheng et al., arXiv:2306.05685). FastChat takes the first [[n]]; here two that differ are unclear,
   * since one of them may be the judged text's own, quoted.
   */
  rating: {
    instruction: ({ min, max }) =>
      `Explain your judgement in a sentence or two, then end with "Rating: [[n]]", n a number from ${min} to ${max}.`,
    read: (reply) => onlyOne(reply, new RegExp(`\\[\\[\\s*(${decimal})\\s*\\]\\]`, "g"), Number),
  },
  /** Nothing but the number. */
  number: {
    instruction: ({ min, max }) => `Reply with a number from ${min} to ${max} and nothing else.`,
    read: (reply) => (new RegExp(`^\\s*${decimal}\\s*$`).test(reply) ? Number(reply) : null),
  },
  /** One object, with or without text or a code fence around it. */
  json: {
    instruction: ({ min, max }) =>
      `Reply with JSON and nothing else: {"score": n}, n a number from ${min} to ${max}.`,
    read: readScore,
  },
};

/** A rating within the scale, else null; what a reasoning model thought aloud before it is left out. */
export function readRating(reply: string, form: ReplyForm, { min, max }: Scale): number | null {
  const rating = form.read(afterThought(reply));
  return rating !== null && rating >= min && rating <= max ? rating : null;
}

/** [[A]] → 1, [[B]] → 0, [[C]] → ½, a tie; as in MT-bench. */
export function readVerdict(reply: string): number | null {
  const preferences: Readonly<Record<string, number>> = { A: 1, B: 0, C: 0.5 };
  return onlyOne(afterThought(reply), /\[\[([ABC])\]\]/g, (letter) => preferences[letter]!);
}

const afterThought = (reply: string) => reply.split("</think>").at(-1)!;

function onlyOne(reply: string, pattern: RegExp, value: (found: string) => number): number | null {
  const found = new Set([...reply.matchAll(pattern)].map((match) => value(match[1]!)));
  return found.size === 1 ? [...found][0]! : null;
}

function readScore(reply: string): number | null {
  const text = reply.slice(reply.indexOf("{"), reply.lastIndexOf("}") + 1);
  try {
    const parsed = JSON.parse(text) as unknown;
    const score =
      typeof parsed === "object" && parsed !== null && "score" in parsed ? parsed.score : null;
    return typeof score === "number" ? score : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null; // an unclear reply
    throw error;
  }
}

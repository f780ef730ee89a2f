/** Anthropic's HH-RLHF: two transcripts of a dialogue that part at the last answer. */
import { RowFault } from "../fault.ts";
import { requiredAt, textOf } from "../fields.ts";
import { pairTo } from "./answers.ts";
import { type DatasetFormat, wantKind } from "./define.ts";

interface Turn {
  readonly role: string;
  readonly content: string;
}

const MARKER = /\n\n(Human|Assistant):/;

/** Space around a turn is not part of it. NOTE: a few rows of the original part earlier; they cannot be used as pairs. */
export const hhRlhf: DatasetFormat = {
  name: "hh-rlhf",
  source: "Anthropic's HH-RLHF",
  kinds: ["pair"],
  fields: ["chosen", "rejected"],
  recognises: ({ prompt, chosen, rejected }) =>
    prompt === undefined && isTranscript(chosen) && isTranscript(rejected),
  read(fields, { place }) {
    const chosen = turnsOf(fields, "chosen");
    const rejected = turnsOf(fields, "rejected");
    return [{ kind: "pair", ...pairTo({ messages: [] }, { chosen, rejected }), place }];
  },
  write(row) {
    const { prompt, chosen, rejected } = wantKind(row, "pair");
    if ("text" in prompt) throw new RowFault("wrong_field", null, "has a bare text for a prompt");
    const before = prompt.messages.map((turn) => written(turn)).join("");
    const ended = (content: string) => before + written({ role: "assistant", content });
    return { chosen: ended(chosen), rejected: ended(rejected) };
  },
};

const isTranscript = (value: unknown): boolean =>
  typeof value === "string" && /^\s*Human:/.test(value) && MARKER.test(`\n\n${value.trimStart()}`);

function turnsOf(fields: Readonly<Record<string, unknown>>, name: string): Turn[] {
  const text = `\n\n${textOf(requiredAt(fields, name), name).trimStart()}`;
  const [before, ...parts] = text.split(MARKER); // the markers' names stand between what they part
  if (before!.trim() !== "" || parts.length === 0) {
    throw new RowFault("wrong_field", name, "must begin with 'Human:'");
  }
  return Array.from({ length: parts.length / 2 }, (_, i) => ({
    role: parts[2 * i] === "Human" ? "user" : "assistant",
    content: parts[2 * i + 1]!.trim(),
  }));
}

function written({ role, content }: Turn): string {
  if (role !== "user" && role !== "assistant") {
    throw new RowFault(
      "wrong_field",
      null,
      `has a message of the role '${role}', which a transcript cannot have`,
    );
  }
  if (content !== content.trim() || MARKER.test(content)) {
    throw new RowFault(
      "wrong_field",
      null,
      "has a message that a transcript would not keep as it is",
    );
  }
  return `\n\n${role === "user" ? "Human" : "Assistant"}: ${content}`;
}

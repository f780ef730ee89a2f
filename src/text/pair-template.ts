/** What a `tokenizer.json`'s post-processor puts around a pair of texts, for encoders that read both at once. */
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { GatewayError } from "../base/errors.ts";

export interface PairTemplate {
  readonly before: readonly number[];
  readonly between: readonly number[];
  readonly after: readonly number[];
  /** Token types of the first text, with what stands before it and between, and of the second, with what follows. */
  readonly types: readonly [number, number];
}

/**
 * @param step `post_processor` of the file at `path`.
 * @param idOf a token's id, or null.
 * @throws GatewayError checkpoint_invalid when it says nothing of pairs, or is of a kind not known.
 */
export function pairTemplate(
  step: unknown,
  idOf: (token: string) => number | null,
  path: string,
): PairTemplate {
  const refuse = (problem: string): never => {
    const remedy = "Supported: TemplateProcessing, BertProcessing and RobertaProcessing.";
    throw new GatewayError("checkpoint_invalid", { path, problem, remedy });
  };
  const id = (token: string) =>
    idOf(token) ?? refuse(`the post-processor's token '${token}' is not in the vocabulary`);
  const steps = (Value.Check(Sequence, step) ? step.processors : [step]).filter(
    (inner) => !Value.Check(ByteLevel, inner), // moves offsets, no tokens
  );
  const [only] = steps;
  if (steps.length === 1 && Value.Check(Classic, only)) {
    const [cls, sep] = [id(only.cls[0]), id(only.sep[0])];
    const isRoberta = only.type === "RobertaProcessing";
    return {
      before: [cls],
      between: isRoberta ? [sep, sep] : [sep],
      after: [sep],
      types: isRoberta ? [0, 0] : [0, 1],
    };
  }
  if (steps.length === 1 && Value.Check(Template, only)) {
    return ofItems(only, id) ?? refuse("the post-processor's pair is not two texts in order");
  }
  return refuse(
    `the post-processor ${JSON.stringify(step)?.slice(0, 200) ?? "none"} is not supported`,
  );
}

function ofItems(
  { pair, special_tokens: known }: Static<typeof Template>,
  idOf: (token: string) => number,
): PairTemplate | null {
  const sequences = pair.flatMap((item, at) =>
    "Sequence" in item ? [{ at, ...item.Sequence }] : [],
  );
  const [a, b] = sequences;
  if (sequences.length !== 2 || a?.id !== "A" || b?.id !== "B") return null;
  const isTyped = pair.every((item, at) => {
    const { type_id: type } = "Sequence" in item ? item.Sequence : item.SpecialToken;
    return type === (at < b.at ? a.type_id : b.type_id);
  });
  if (!isTyped) return null;
  const ids = (from: number, to: number) =>
    pair.slice(from, to).flatMap((item) => {
      if ("Sequence" in item) return [];
      return known[item.SpecialToken.id]?.ids ?? [idOf(item.SpecialToken.id)];
    });
  return {
    before: ids(0, a.at),
    between: ids(a.at, b.at),
    after: ids(b.at, pair.length),
    types: [a.type_id, b.type_id],
  };
}

const Sequence = Type.Object({
  type: Type.Literal("Sequence"),
  processors: Type.Array(Type.Unknown()),
});
const ByteLevel = Type.Object({ type: Type.Literal("ByteLevel") });
const TokenAndId = Type.Tuple([Type.String(), Type.Integer()]);
const Classic = Type.Object({
  type: Type.Enum(["BertProcessing", "RobertaProcessing"]),
  cls: TokenAndId,
  sep: TokenAndId,
});
const Part = Type.Object({ id: Type.String(), type_id: Type.Integer() });
const Template = Type.Object({
  type: Type.Literal("TemplateProcessing"),
  pair: Type.Array(
    Type.Union([Type.Object({ Sequence: Part }), Type.Object({ SpecialToken: Part })]),
  ),
  special_tokens: Type.Record(Type.String(), Type.Object({ ids: Type.Array(Type.Integer()) })),
});

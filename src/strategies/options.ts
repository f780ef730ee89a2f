/** Options that several strategies have in common. */
import { Type } from "typebox";
import type { ScoredAt } from "../rewards/define.ts";

/** Papers read the reward at the token; see `ScoredAt`. */
export const scoredAt = Type.Unsafe<ScoredAt>(
  Type.Enum(["token", "end-of-turn"], {
    default: "token",
    description:
      "where a reward model reads an unfinished answer: at its last token, or as if its turn ended there",
  }),
);

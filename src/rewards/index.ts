/** Every kind of reward that is made by options. Configuration, requests, documentation and the shared tests read this list. */
import { GatewayError } from "../base/errors.ts";
import { calculation } from "./calculation.ts";
import { calibrated } from "./calibrated.ts";
import { code } from "./code.ts";
import type { RewardKind } from "./define.ts";
import { ensemble } from "./ensemble.ts";
import { exactMatch } from "./exact-match.ts";
import { formatTags } from "./format-tags.ts";
import { implicit } from "./implicit.ts";
import { jsonSchema } from "./json-schema.ts";
import { judge } from "./judge/judge.ts";
import { pairwiseJudge } from "./judge/pairwise-judge.ts";
import { length } from "./length.ts";
import { lengthControlled } from "./length-controlled.ts";
import { numericMatch } from "./numeric-match.ts";
import { regex } from "./regex.ts";
import { openrlhf } from "./remote/openrlhf.ts";
import { teiPredict } from "./remote/tei-predict.ts";
import { teiRerank } from "./remote/tei-rerank.ts";
import { vllmClassify } from "./remote/vllm-classify.ts";
import { vllmPooling } from "./remote/vllm-pooling.ts";
import { vllmScore } from "./remote/vllm-score.ts";
import { script } from "./script.ts";

export const rewardKinds: readonly RewardKind[] = [
  length,
  ensemble,
  calibrated,
  lengthControlled,
  implicit,
  vllmPooling,
  vllmScore,
  vllmClassify,
  openrlhf,
  teiPredict,
  teiRerank,
  judge,
  pairwiseJudge,
  regex,
  exactMatch,
  numericMatch,
  calculation,
  jsonSchema,
  formatTags,
  script,
  code,
];

/** @throws GatewayError invalid_request with the param `<where>.kind` */
export function rewardKindNamed(name: string, where: string): RewardKind {
  const kind = rewardKinds.find((each) => each.name === name);
  if (kind) return kind;
  const known = rewardKinds.map((each) => each.name).join(", ");
  const problem = `there is no kind of reward '${name}'; known kinds: ${known}`;
  throw new GatewayError("invalid_request", { param: `${where}.kind`, problem });
}

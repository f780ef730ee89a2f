/** The policy that training starts from, beside the one in training: of LoRA the base without its adapter. */

import { assert } from "../../../base/assert.ts";
import { weightShapes } from "../../../checkpoints/weight-shapes.ts";
import type { Turnstile } from "../../../engine/turnstile.ts";
import { elementCount } from "../../../onnx/dtype.ts";
import type { Runtime, Tensor } from "../../../onnx/runtime/index.ts";
import type { Policy } from "../../../registry/types.ts";
import type { Trainer, TrainingState } from "../../../train/trainer.ts";
import type { Base } from "../base.ts";
import type { Demands } from "./demands.ts";
import { type LivePolicy, openFixedPolicy } from "./live-policy.ts";
import type { OnlineOptions } from "./options.ts";
import { TokenReader } from "./token-reader.ts";

export interface ReferenceModel {
  /** null: nobody asks for log-probabilities. */
  readonly reader: TokenReader | null;
  /** null: nobody draws by it. */
  readonly policy: Policy | null;
  dispose(): Promise<void>;
}

interface Parts {
  readonly runtime: Runtime;
  readonly options: OnlineOptions;
  readonly base: Base;
  readonly prompts: { readonly contextTokens: number };
  readonly demands: Demands;
}

interface World {
  readonly trainer: Pick<Trainer, "tensors">;
  readonly live: LivePolicy;
  readonly turnstile: Turnstile;
  /** What training began with. */
  readonly weights: TrainingState;
}

export async function openReferences(
  { runtime, options, base, prompts, demands }: Parts,
  { trainer, live, turnstile, weights }: World,
): Promise<ReferenceModel> {
  const isNeeded = demands.needsReference || demands.compares;
  const own = isNeeded && options.lora === null ? tensorsOf(runtime, base, weights) : new Map();
  const tensors: ReadonlyMap<string, Tensor> = options.lora ? trainer.tensors() : own;
  const reader = demands.needsReference
    ? await TokenReader.open(runtime, {
        config: base.config,
        tensors,
        temperature: options.temperature,
        hasValues: false,
        passTokens: options.passTokens,
        threads: options.threads,
      })
    : null;
  const fixed =
    demands.compares && live.base === null
      ? await openFixedPolicy(runtime, tensors, base, {
          ...options,
          id: "reference",
          contextTokens: prompts.contextTokens,
          turnstile,
        })
      : null;
  return {
    reader,
    policy: demands.compares ? (fixed?.policy ?? live.base) : null,
    async dispose() {
      await fixed?.engine.dispose();
      reader?.dispose();
      for (const tensor of own.values()) tensor.dispose();
    },
  };
}

/** In the memory they were read into: the trainer has copied them. */
function tensorsOf(runtime: Runtime, { config }: Base, weights: TrainingState) {
  return new Map<string, Tensor>(
    [...weightShapes(config)].map(([name, shape]) => {
      const values = weights.get(name);
      assert(values?.length === elementCount(shape), `the base has no weight ${name}`);
      return [name, runtime.tensor("float32", shape, values)];
    }),
  );
}

/** The optimiser and its schedule, as a command asks for them. */
import {
  type AdamOptions,
  constantSchedule,
  cosineSchedule,
  linearSchedule,
} from "../../onnx/optimizers.ts";
import type { Recipe } from "./options.ts";

type Asked = Pick<
  Recipe,
  "learningRate" | "floor" | "weightDecay" | "clipNorm" | "beta1" | "beta2" | "warmup" | "schedule"
>;

export function optimizerOf(options: Asked, steps: number): AdamOptions {
  const { learningRate: peak, floor, weightDecay, clipNorm, beta1, beta2 } = options;
  const warmup = options.warmup < 1 ? Math.round(options.warmup * steps) : options.warmup;
  const schedule = {
    constant: () => constantSchedule(peak, warmup),
    linear: () => linearSchedule(peak, warmup, steps, floor),
    cosine: () => cosineSchedule(peak, warmup, steps, floor),
  }[options.schedule]();
  const norm = clipNorm === 0 ? Number.POSITIVE_INFINITY : clipNorm;
  return { schedule, weightDecay, clipNorm: norm, beta1, beta2 };
}

/** Everything that decides a training's result, flat: what a work folder remembers, and the model card tells. */
import type { Base } from "./base.ts";
import type { Conditioning } from "./conditional.ts";
import type { Optimization, TrainingOptions } from "./options.ts";
import type { PreparedData } from "./prepare.ts";
import type { Manifest } from "./work-folder.ts";

/** Under the names of the command's flags. */
export function manifestOf(
  options: TrainingOptions,
  base: Base,
  teacher: Base | null,
  { files }: PreparedData,
): Manifest {
  const { method, lossOptions, data } = options;
  const ofLoss = Object.entries(lossOptions).map(([name, value]) => [
    `--${name.replaceAll("_", "-")}`,
    typeof value === "object" ? JSON.stringify(value) : value,
  ]);
  return {
    method: method.loss.name,
    ...Object.fromEntries(ofLoss),
    "--base": base.sha256,
    ...(teacher && { "--teacher": teacher.sha256, "--teacher-tokens": options.teacher!.tokens }),
    ...(options.conditioning && conditioned(options.conditioning)),
    ...(options.prefixes && { "--prefixes": true }),
    ...(options.stepReading && {
      "--step-convention": JSON.stringify(options.stepReading.settings),
      "--neutral": options.stepReading.neutral,
    }),
    ...Object.fromEntries(files.map(({ name, sha256 }, i) => [`--data ${i + 1}, ${name}`, sha256])),
    ...optimizationManifest(options),
    "--held-out": data.heldOutFiles.length > 0 ? "files" : data.heldOut,
    "--data-format": data.format,
    "--reward-name": data.rewardName,
    "--context-tokens": data.contextTokens,
    "--bad-rows": data.badRows,
    "--steps": options.steps,
    "--seed": options.seed,
    "--evaluate-every": options.evaluateEvery,
    "--patience": options.patience,
  };
}

/** How the weights are changed, whatever they learn from. */
export function optimizationManifest(options: Optimization): Manifest {
  const { lora } = options;
  return {
    "--lora-rank": lora?.rank ?? null,
    "--lora-alpha": lora?.alpha ?? null,
    "--lora-modules": lora?.modules.join(" ") ?? null,
    "--lora-rank-stabilized": lora?.isRankStabilized ?? null,
    "--epochs": options.epochs,
    "--batch": options.batch,
    "--pass-tokens": options.passTokens,
    "--learning-rate": options.learningRate,
    "--schedule": options.schedule,
    "--warmup": options.warmup,
    "--floor": options.floor,
    "--weight-decay": options.weightDecay,
    "--clip-norm": options.clipNorm,
    "--adam-beta1": options.beta1,
    "--adam-beta2": options.beta2,
    "--dtype": options.dtype,
  };
}

const conditioned = ({ words, levels, place }: Conditioning): Manifest => ({
  "--control-words": JSON.stringify(words),
  "--control-place": place,
  "--thresholds": "thresholds" in levels ? levels.thresholds.join(" ") : null,
  "--quantiles": "quantiles" in levels ? levels.quantiles.join(" ") : null,
});

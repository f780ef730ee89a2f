/** Options other than the defaults that change a loss's formula, by the loss's name. */
import type { Static, TObject } from "typebox";

export const variants: Readonly<Record<string, readonly Static<TObject>[]>> = {
  dpo: [
    { divergence: "forward-kl" },
    { divergence: "js" },
    { divergence: "alpha" },
    { divergence: "alpha", alpha: 1 },
    { length_normalize: true },
  ],
  ipo: [{ length_normalize: false }],
  slic: [{ length_normalize: true, nll_weight: 2 }],
  "bco-pair": [{ shift: "batch" }],
  aot: [{ paired: false }, { label_smoothing: 0.1 }],
  cpo: [{ length_normalize: true }, { label_smoothing: 0.1 }],
  rpo: [{ length_normalize: false }],
  "dil-lsif": [{ length_normalize: false }],
  "dil-ukl": [{ length_normalize: false }],
  "dil-bce": [{ length_normalize: false }],
  gsil: [
    { estimator: "brier" },
    { estimator: "hinge" },
    { estimator: "kliep" },
    { estimator: "lsif" },
  ],
  adversarial: [{ divergence: "airl" }, { divergence: "fairl" }],
  kto: [{ desirable_weight: 2, undesirable_weight: 0.5 }],
  bco: [{ shift: "none" }],
  "dpo-plackett-luce": [{ top: 2 }],
  "list-pairs": [{ form: "logistic" }],
  rrhf: [{ length_normalize: true, nll_weight: 0.5 }],
  bonbon: [{ n: 16, alpha: 0.5 }],
};

/** Standard mixtures of flaws. */
import type { Mixture } from "./types.ts";

/** What the demonstrations for supervised training hold: 62 % of the arithmetic ones are right. */
export const sftMixture: Mixture = {
  support: {
    "wrong-name": 0.25,
    "wrong-order": 0.3,
    "wrong-product": 0.25,
    "wrong-remedy": 0.35,
    curt: 0.2,
    rude: 0.25,
    rambling: 0.35,
  },
  arithmetic: {
    "off-by-one": 0.12,
    "off-by-ten": 0.06,
    "wild-result": 0.03,
    "wrong-operation": 0.06,
    "miscopied-number": 0.07,
    "no-answer": 0.04,
  },
};

export const flawless: Mixture = {
  support: {
    "wrong-name": 0,
    "wrong-order": 0,
    "wrong-product": 0,
    "wrong-remedy": 0,
    curt: 0,
    rude: 0,
    rambling: 0,
  },
  arithmetic: {
    "off-by-one": 0,
    "off-by-ten": 0,
    "wild-result": 0,
    "wrong-operation": 0,
    "miscopied-number": 0,
    "no-answer": 0,
  },
};

/** Every claim is as often wrong as right, as far as a solution's single slip allows: to learn what mistakes look like. */
export const careless: Mixture = {
  support: {
    "wrong-name": 0.5,
    "wrong-order": 0.5,
    "wrong-product": 0.5,
    "wrong-remedy": 0.5,
    curt: 0.2,
    rude: 0.25,
    rambling: 0.35,
  },
  arithmetic: {
    "off-by-one": 0.24,
    "off-by-ten": 0.12,
    "wild-result": 0.12,
    "wrong-operation": 0.12,
    "miscopied-number": 0.2,
    "no-answer": 0,
  },
};

/** Standard mixtures of flaws. */
import type { Mixture } from "./types.ts";

/** What the demonstrations for supervised training hold: 58 % of the arithmetic ones are right. */
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
    "off-by-one": 0.06,
    "off-by-ten": 0.05,
    "wild-result": 0.03,
    "wrong-operation": 0.12,
    "miscopied-number": 0.12,
    "no-answer": 0.04,
  },
  slips: "one",
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
  slips: "one",
};

/** Facts and results are about as often wrong as right: to learn what mistakes look like. */
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
    "off-by-one": 0.2,
    "off-by-ten": 0.1,
    "wild-result": 0.15,
    "wrong-operation": 0.1,
    "miscopied-number": 0.15,
    "no-answer": 0,
  },
  slips: "every-step",
};

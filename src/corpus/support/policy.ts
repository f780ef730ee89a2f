/**
 * The support desk's policy: from the customer's problem, and the days it depends on, follows exactly one
 * remedy.
 *
 * | problem                                   | remedy                                   |
 * | ----------------------------------------- | ---------------------------------------- |
 * | arrived damaged                           | replacement, free of charge              |
 * | not arrived, ordered up to 10 days ago    | tracking link: still on its way          |
 * | not arrived, ordered more than 10 days ago| send the parcel again                    |
 * | wrong colour                              | exchange for the right colour            |
 * | charged twice                             | refund of the second payment             |
 * | wants to return, up to 30 days            | return label                             |
 * | wants to return, more than 30 days        | decline                                  |
 * | a part is missing                         | send the part                            |
 * | wants to cancel, not sent yet             | cancel without charge                    |
 */
import type { Problem, Remedy } from "../types.ts";

export const deliveryDaysMax = 10;
export const returnDaysMax = 30;

/** @param days since the order or the delivery; only two problems depend on it. */
export function remedyFor(problem: Problem, days: number): Remedy {
  switch (problem) {
    case "damaged":
      return "replacement";
    case "not-arrived":
      return days > deliveryDaysMax ? "reship" : "tracking";
    case "wrong-colour":
      return "exchange";
    case "charged-twice":
      return "refund";
    case "return":
      return days > returnDaysMax ? "decline" : "label";
    case "missing-part":
      return "part";
    case "cancel":
      return "cancel";
  }
}

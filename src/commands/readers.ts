/** What flags of numbers and names are read by: each refuses what it is not for, in the words of the command line. */
import { InvalidArgumentError } from "commander";

export const positive = (text: string) => number(text, (value) => value > 0, "a number above 0");
export const nonNegative = (text: string) =>
  number(text, (value) => value >= 0, "a number from 0 on");
export const share = (text: string) =>
  number(text, (value) => value >= 0 && value < 1, "a number from 0 to below 1");

/** A share of which there is some, or all. */
export const shareOrAll = (text: string) =>
  number(text, (value) => value > 0 && value <= 1, "a number above 0 to 1");

export const oneOf =
  <T extends string>(known: readonly T[]) =>
  (text: string): T => {
    const found = known.find((each) => each === text);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`It must be one of ${known.join(", ")}.`);
  };

function number(text: string, isFine: (value: number) => boolean, wanted: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && isFine(value)) return value;
  throw new InvalidArgumentError(`It must be ${wanted}.`);
}

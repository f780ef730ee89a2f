/** Numbers as answers write them, read exactly: no rounding, so that equal in value is equal. */

/** A reduced fraction; the denominator is positive. */
export interface Exact {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

const DIGITS_MAX = 400;
const THOUSANDS = "[,\\u00a0\\u2009\\u202f]"; // comma; no-break, thin and narrow spaces
/** Digits with separators and point: "1,234.50", ".5". */
export const DECIMAL = `(?:[1-9]\\d{0,2}(?:${THOUSANDS}\\d{3})+(?!\\d)|\\d+)(?:\\.\\d+)?|\\.\\d+`;
const SCIENTIFIC = `(?:${DECIMAL})(?:[eE][-+]?\\d+| ?[×x*] ?10\\^\\{?[-+]?\\d+\\}?)?`;
const MAGNITUDE = `\\d{1,3} \\d{1,3}/\\d{1,3}(?![\\d/])|(?:${SCIENTIFIC})(?:/(?:${SCIENTIFIC}))?`;
const CURRENCY = "[$€£¥]";

/**
 * Source of the expression that matches a number in plain text, "$1,234.50", "1 1/2", "-3e-4" and "50%" alike; a
 * minus is a sign only where nothing stands before it that it could subtract from.
 */
const numberSource =
  `(?<![\\p{L}\\p{N}_]|\\d[./])(?:(?<![)\\]}])[-+])?(?:${CURRENCY}[-+]?)?(?:${MAGNITUDE})` +
  "(?![./]?\\d)(?: ?%)?";

const numberPattern = new RegExp(numberSource, "gu");

/** Numbers of a text that `plain` has read, as they are written there, with where they end. */
export function findNumbers(text: string): readonly { text: string; end: number }[] {
  return [...text.matchAll(numberPattern)].map((match) => ({
    text: match[0],
    end: match.index + match[0].length,
  }));
}

const whole = new RegExp(
  `^([-+]?)(?:${CURRENCY}([-+]?))?(?:(\\d+) (\\d+)/(\\d+)|(${SCIENTIFIC})(?:/(${SCIENTIFIC}))?)\\.?( ?%)?$`,
  "u",
);

/**
 * Reads a text that is a number and nothing else: "1,000.5", "1/2", "1 1/2", "3e-4", "3 × 10^{-4}", "$5", "50%".
 * @returns the value, for "50%" 50 and that it is a percentage; null for what is no number, a division by zero, or
 * more than 400 digits.
 */
export function readNumber(text: string): { value: Exact; isPercent: boolean } | null {
  if (text.length > DIGITS_MAX) return null;
  const match = whole.exec(text.trim());
  if (!match) return null;
  const [, outer, inner, units, above, below, numerator, denominator, percent] = match;
  if (outer && inner) return null;
  const value =
    units === undefined
      ? quotient(readDecimal(numerator!), readDecimal(denominator ?? "1"))
      : fraction(BigInt(units) * BigInt(below!) + BigInt(above!), BigInt(below!));
  if (!value) return null;
  const isNegative = outer === "-" || inner === "-";
  return { value: isNegative ? negated(value) : value, isPercent: percent !== undefined };
}

/** @param text digits with separators, point and exponent, unsigned. */
function readDecimal(text: string): Exact | null {
  const [, integer, decimals = "", exponent = "0"] =
    /^([^.eE×x*]*)(?:\.(\d*))?(?: ?(?:[eE]|[×x*] ?10\^)\{?([-+]?\d+)\}?)?$/.exec(text) ?? [];
  const digits = `${integer!.replace(/\D/g, "")}${decimals}`;
  const power = Number(exponent) - decimals.length;
  if (!(Math.abs(power) <= DIGITS_MAX)) return null;
  const scale = 10n ** BigInt(Math.abs(power));
  return power < 0 ? fraction(BigInt(digits), scale) : fraction(BigInt(digits) * scale, 1n);
}

const quotient = (a: Exact | null, b: Exact | null): Exact | null =>
  a && b ? fraction(a.numerator * b.denominator, a.denominator * b.numerator) : null;

/** a + b, a − b, a · b or a / b; null for a division by zero. */
export function calculated(a: Exact, operation: "+" | "-" | "*" | "/", b: Exact): Exact | null {
  switch (operation) {
    case "+":
      return fraction(
        a.numerator * b.denominator + b.numerator * a.denominator,
        a.denominator * b.denominator,
      );
    case "-":
      return calculated(a, "+", negated(b));
    case "*":
      return fraction(a.numerator * b.numerator, a.denominator * b.denominator);
    case "/":
      return b.numerator < 0n ? quotient(negated(a), negated(b)) : quotient(a, b);
  }
}

export const negated = ({ numerator, denominator }: Exact): Exact => ({
  numerator: -numerator,
  denominator,
});

export function fraction(numerator: bigint, denominator: bigint): Exact | null {
  if (denominator === 0n) return null;
  let [a, b] = [numerator < 0n ? -numerator : numerator, denominator];
  while (b > 0n) [a, b] = [b, a % b];
  return { numerator: numerator / a, denominator: denominator / a };
}

/** The nearest double, or one beside it. */
export function toDouble({ numerator, denominator }: Exact): number {
  const ratio = Number(numerator) / Number(denominator);
  if (Number.isFinite(ratio)) return ratio;
  // Both are beyond a double's range: drop as many bits from each as leave 64 in the shorter.
  const drop = BigInt(Math.max(0, Math.min(bits(numerator), bits(denominator)) - 64));
  return Number(numerator >> drop) / Number(denominator >> drop);
}

const bits = (value: bigint) => value.toString(16).length * 4;

/** "12", "-0.5", "1/3": a decimal where one is exact, else the reduced fraction. */
export function exactText({ numerator, denominator }: Exact): string {
  if (denominator === 1n) return String(numerator);
  const places = decimalPlaces(denominator);
  if (places === null) return `${numerator}/${denominator}`;
  const scaled = (numerator * 10n ** BigInt(places)) / denominator;
  const digits = String(scaled < 0n ? -scaled : scaled).padStart(places + 1, "0");
  return `${scaled < 0n ? "-" : ""}${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/** How many decimals 1/denominator has; null when they never end. */
function decimalPlaces(denominator: bigint): number | null {
  const count = (prime: bigint) => {
    let times = 0;
    for (let rest = denominator; rest % prime === 0n; rest /= prime) times += 1;
    return times;
  };
  const [twos, fives] = [count(2n), count(5n)];
  return 2n ** BigInt(twos) * 5n ** BigInt(fives) === denominator ? Math.max(twos, fives) : null;
}

const simple = (operand: string) =>
  /^\s*-?[\w.,]*\s*$/.test(operand) ? operand.trim() : `(${operand.trim()})`;

/** Spells what LaTeX and Unicode write otherwise in plain characters: minus, fractions, units, digits of full width. */
export function plain(text: string): string {
  return text
    .replace(/[\u2212\u2013\ufe63\uff0d]/g, "-")
    .replace(/[０-９．，％＄]/g, (wide) => wide.normalize("NFKC"))
    .replace(/(\d?)([¼-¾⅐-⅞])/g, (_all, before: string, vulgar: string) => {
      const spelled = vulgar.normalize("NFKC").replace("\u2044", "/");
      return before === "" ? spelled : `${before} ${spelled}`;
    })
    .replace(/(\d?)\\[dt]?frac\s*(?:\{([^{}]*)\}\s*\{([^{}]*)\}|(\d)\s*(\d))/g, spellFraction)
    .replace(/\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}/g, "$1")
    .replace(/\\(?:left|right|displaystyle)(?![a-zA-Z])|\\[!;:]/g, "")
    .replace(/\\,/g, "\u2009")
    .replace(/\{,\}/g, ",")
    .replace(/\\([$%])/g, "$1")
    .replace(/\^\{?\\circ\}?/g, "°")
    .replace(/\\(?:times|cdot)(?![a-zA-Z])/g, "×")
    .replace(/\\pi(?![a-zA-Z])/g, "π");
}

function spellFraction(
  _all: string,
  before: string,
  a?: string,
  b?: string,
  c?: string,
  d?: string,
): string {
  const spelled = a === undefined ? `${c}/${d}` : `${simple(a)}/${simple(b!)}`;
  return before === "" ? spelled : `${before} ${spelled}`;
}
